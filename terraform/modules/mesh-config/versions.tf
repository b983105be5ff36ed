# No provider on purpose: the module only turns inputs into text, so that loopback, AWS and
# anything else run the same configuration.
terraform {
  required_version = ">= 1.9"
}
