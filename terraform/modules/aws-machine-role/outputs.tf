output "instance_profile_name" {
  description = "What an instance or a launch template names."
  value       = aws_iam_instance_profile.this.name
}

output "role_name" {
  description = "The role, for what an operator adds to it."
  value       = aws_iam_role.this.name
}

output "statements" {
  description = "What the role may do: actions, resources and namespaces of metrics."
  value       = local.statements
}
