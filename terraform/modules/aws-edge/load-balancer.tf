# TCP in, TCP out: the load balancer holds no certificate, and a million idle connections cost a
# thirtieth of what they would with TLS here (docs/aws.md, costs).

resource "aws_lb" "this" {
  name               = "${var.name}-edge"
  load_balancer_type = "network"
  internal           = false
  subnets            = var.load_balancer_subnet_ids
  security_groups    = [var.security_group_ids.load_balancer]

  enable_cross_zone_load_balancing = var.cross_zone
  enable_deletion_protection       = var.deletion_protection

  dynamic "access_logs" {
    for_each = var.access_logs_bucket == null ? [] : [var.access_logs_bucket]

    content {
      bucket  = access_logs.value
      prefix  = var.name
      enabled = true
    }
  }
}

resource "aws_lb_target_group" "edges" {
  name     = "${var.name}-edge"
  vpc_id   = var.vpc_id
  port     = var.ports.public
  protocol = "TCP"

  # Edges see clients' addresses, and are not bounded to 55,000 connections a zone.
  preserve_client_ip = true

  # The group waits for this before it tells an edge to drain; connections outlive it.
  deregistration_delay   = var.drain.deregistration_s
  connection_termination = false

  # An edge that is not ready gets no new connections and keeps those that it has. By default each
  # of them would be reset at once: one hiccup of NATS, and a whole region reconnects.
  target_health_state {
    enable_unhealthy_connection_termination = false
    unhealthy_draining_interval             = var.drain.unhealthy_s
  }

  health_check {
    protocol            = "HTTP"
    port                = tostring(var.ports.admin)
    path                = "/readyz"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = var.tls.mode == "edge" ? "TCP" : "TLS"
  certificate_arn   = var.tls.certificate_arn
  ssl_policy        = var.tls.mode == "edge" ? null : var.tls.ssl_policy
  # Behind TLS at the load balancer edges speak HTTP/1.1: without TLS nobody tells them of HTTP/2.
  alpn_policy              = var.tls.mode == "edge" ? null : "HTTP1Only"
  tcp_idle_timeout_seconds = var.tls.mode == "edge" ? var.idle_timeout_s : null

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.edges.arn
  }
}
