output "instance_ids" {
  description = "By short name: the machine of each nats-server."
  value       = { for name, instance in aws_instance.this : name => instance.id }
}

output "addresses" {
  description = "By short name: the fixed address that gateways, routes and edges use."
  value       = { for name, instance in aws_instance.this : name => instance.private_ip }
}

output "secret_arns" {
  description = "By short name: the secret that scripts/put-secrets-aws.sh fills with certificates."
  value       = { for name, secret in aws_secretsmanager_secret.pki : name => secret.arn }
}

output "secret_files" {
  description = "The files that each of these secrets holds."
  value       = local.pki_files
}
