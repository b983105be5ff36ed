mock_provider "aws" {
  mock_resource "aws_acm_certificate" {
    defaults = {
      arn = "arn:aws:acm:eu-central-1:123456789012:certificate/mock"
      domain_validation_options = [
        { domain_name = "edge.example.com", resource_record_name = "_a.edge.example.com", resource_record_type = "CNAME", resource_record_value = "_x.acm" },
        { domain_name = "eu.edge.example.com", resource_record_name = "_b.eu.edge.example.com", resource_record_type = "CNAME", resource_record_value = "_y.acm" },
      ]
    }
  }
  mock_resource "aws_acm_certificate_validation" {
    defaults = { id = "mock" }
  }
}

variables {
  domain_name       = "edge.example.com"
  alternative_names = ["eu.edge.example.com"]
  zone_id           = "Z1"
}

run "each_name_is_proven_and_the_certificate_is_waited_for" {
  assert {
    condition     = { for name, record in aws_route53_record.proof : name => [record.name, one(record.records)] } == { "edge.example.com" = ["_a.edge.example.com", "_x.acm"], "eu.edge.example.com" = ["_b.eu.edge.example.com", "_y.acm"] }
    error_message = "A record for each name."
  }
  assert {
    condition     = length(aws_acm_certificate_validation.this.validation_record_fqdns) == 2 && output.arn == aws_acm_certificate.this.arn
    error_message = "Whoever uses the output waits until it is issued."
  }
  assert {
    condition     = alltrue([for _, record in aws_route53_record.proof : record.allow_overwrite])
    error_message = "The next region proves the same name by the same record."
  }
}
