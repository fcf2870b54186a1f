resource "autopkgtest_rabbitmq_server" "main" {
  # Longer than any test takes: a worker acknowledges a request when its result is safe, not before.
  delivery_timeout = "48h"
}
