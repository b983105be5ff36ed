# Only what is built into terraform: terraform_data and its provisioners.
terraform {
  required_version = ">= 1.9"
}
