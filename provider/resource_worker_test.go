package provider

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/rabbitmq"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/run"
)

func TestPlanTimeout(t *testing.T) {
	t.Parallel()
	text := types.StringValue
	for name, tc := range map[string]struct {
		timeout, delivery types.String
		want              string
	}{
		"enough":                   {text("8h"), text("48h"), ""},
		"one run, but not three":   {text("20h"), text("48h"), "after 48h the broker takes it away"},
		"not even one":             {text("48h"), text("48h"), "to at least 144h15m"},
		"nobody knows":             {text("1000h"), types.StringNull(), ""},
		"the broker's comes later": {text("48h"), types.StringUnknown(), ""},
		"the worker's comes later": {types.StringUnknown(), text("1m"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var diags diag.Diagnostics
			planTimeout(&planning[workerModel]{model: &workerModel{Timeout: tc.timeout, DeliveryTimeout: tc.delivery}, diags: &diags})
			if tc.want == "" {
				if len(diags) > 0 {
					t.Errorf("got %v", diags)
				}
				return
			}
			if len(diags) != 1 || !strings.Contains(diags[0].Detail(), tc.want) {
				t.Fatalf("got %v, want %q", diags, tc.want)
			}
			if where, ok := diags[0].(diag.DiagnosticWithPath); !ok || !where.Path().Equal(path.Root("timeout")) {
				t.Errorf("%v is not at the timeout", diags[0])
			}
		})
	}
}

// TestDefaultTimeoutsFit: a broker and a worker about which nobody has thought get along.
func TestDefaultTimeoutsFit(t *testing.T) {
	t.Parallel()
	if err := run.CheckDeliveryTimeout(rabbitmq.DefaultDeliveryTimeout, config.DefaultTimeout); err != nil {
		t.Error(err)
	}
}
