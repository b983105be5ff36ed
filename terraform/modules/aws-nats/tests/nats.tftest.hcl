mock_provider "aws" {
  source = "../mocks"
}

variables {
  name              = "meridian-eu"
  region            = "eu"
  bucket            = { name = "bucket", arn = "arn:aws:s3:::bucket" }
  binary            = { key = "bin/nats-server", version = "v1", sha256 = "00" }
  ami_id            = "ami-12345678"
  security_group_id = "sg-nats"
  servers = {
    n1 = { zone = "eu-central-1a", host = "10.20.2.10", subnet_id = "subnet-a", conf = "one" }
    n2 = { zone = "eu-central-1b", host = "10.20.2.74", subnet_id = "subnet-b", conf = "two" }
    n3 = { zone = "eu-central-1c", host = "10.20.2.138", subnet_id = "subnet-c", conf = "three" }
  }
}

run "each_server_has_its_zone_its_address_and_its_disk" {
  assert {
    condition     = { for name, instance in aws_instance.this : name => instance.private_ip } == { n1 = "10.20.2.10", n2 = "10.20.2.74", n3 = "10.20.2.138" }
    error_message = "The addresses that gateways and certificates name."
  }
  assert {
    condition     = alltrue([for name, volume in aws_ebs_volume.data : volume.availability_zone == var.servers[name].zone && volume.encrypted && volume.final_snapshot])
    error_message = "A disk stands in its server's zone, encrypted, and leaves a snapshot."
  }
  assert {
    condition     = alltrue([for name, attachment in aws_volume_attachment.data : attachment.volume_id == aws_ebs_volume.data[name].id && attachment.instance_id == aws_instance.this[name].id])
    error_message = "Each disk is attached to its own server."
  }
}

# moto forgets the groups of an instance, so that they have to be looked at here.
run "servers_are_private_and_ask_for_a_token_of_metadata" {
  assert {
    condition     = alltrue([for _, instance in aws_instance.this : instance.vpc_security_group_ids == toset(["sg-nats"])])
    error_message = "The one security group that was given."
  }
  assert {
    condition = alltrue([for _, instance in aws_instance.this :
      instance.metadata_options[0].http_tokens == "required" &&
      instance.metadata_options[0].http_put_response_hop_limit == 1 && instance.disable_api_termination && instance.ebs_optimized && instance.monitoring
    ])
    error_message = "IMDSv2 only, and protected from termination."
  }
  assert {
    condition     = alltrue([for _, instance in aws_instance.this : instance.root_block_device[0].encrypted && instance.root_block_device[0].volume_size == 20])
    error_message = "Encrypted root disks, with a size: RunInstances refuses encryption without one."
  }
}

run "the_manifest_names_what_a_server_takes_up_by_its_hash" {
  assert {
    condition     = jsondecode(aws_s3_object.manifest["n2"].content).files[1].sha256 == sha256("two")
    error_message = "The configuration by its hash."
  }
  assert {
    condition     = jsondecode(aws_s3_object.manifest["n2"].content).files[0] == { key = "bin/nats-server", version = "v1", sha256 = "00", path = "/usr/local/bin/nats-server", mode = "755" }
    error_message = "The binary by its version and hash."
  }
}

run "the_disk_is_formatted_and_mounted_where_the_configuration_stores" {
  assert {
    condition     = alltrue([for name, node in module.node : strcontains(node.user_data, "nats-server.service")])
    error_message = "The unit of nats-server."
  }
  assert {
    condition     = jsondecode(jsonencode(module.node["n1"].settings)).nats.mount == "/var/lib/nats" && module.node["n1"].settings.nats.volume == aws_ebs_volume.data["n1"].id
    error_message = "node.py mounts the server's own volume at mesh-config's store_dir."
  }
}

run "two_servers_in_a_zone_are_refused" {
  command         = plan
  expect_failures = [var.servers]

  variables {
    servers = {
      n1 = { zone = "eu-central-1a", host = "10.20.2.10", subnet_id = "subnet-a", conf = "one" }
      n2 = { zone = "eu-central-1a", host = "10.20.2.11", subnet_id = "subnet-a", conf = "two" }
    }
  }
}

run "a_role_reads_its_own_secrets_and_objects" {
  assert {
    condition     = flatten([for statement in module.role.statements : statement.resources if contains(statement.actions, "s3:GetObject")]) == ["arn:aws:s3:::bucket/nats/*", "arn:aws:s3:::bucket/bin/nats-server"]
    error_message = "Objects of nats-servers only."
  }
  assert {
    condition     = alltrue(flatten([for statement in module.role.statements : [for action in statement.actions : !startswith(action, "autoscaling:")]]))
    error_message = "A nats-server ends no lifecycle action."
  }
}
