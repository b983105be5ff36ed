output "user_data" {
  description = "The machine's user data: cloud-config, in clear. It changes whenever anything of it does."
  value       = local.user_data

  precondition {
    condition     = length(local.user_data) <= 16384
    error_message = "The user data is longer than the 16 KiB that EC2 takes."
  }
}

output "settings" {
  description = "The settings as they were given, for tests."
  value       = var.settings
}
