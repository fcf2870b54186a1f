ephemeral "autopkgtest_broker_credentials" "britney" {
  credentials_file = autopkgtest_broker_user.britney.credentials_file
}

# For example for a write-only attribute of another provider:
#
#   resource "kubernetes_secret_v1" "britney" {
#     metadata { name = "britney" }
#     data_wo          = { "britney.conf" = ephemeral.autopkgtest_broker_credentials.britney.britney_conf }
#     data_wo_revision = 1
#   }
