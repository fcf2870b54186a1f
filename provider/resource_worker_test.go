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

func TestPlanDeliveryTimeout(t *testing.T) {
	t.Parallel()
	text := types.StringValue
	for name, tc := range map[string]struct {
		timeout, patience, delivery types.String
		want                        string
		severity                    diag.Severity
	}{
		"enough":                    {text("8h"), text("12h"), text("48h"), "", 0},
		"the runs, not the spool":   {text("8h"), text("24h"), text("48h"), "held for 48h15m", diag.SeverityError},
		"one run, but not three":    {text("20h"), text("12h"), text("48h"), "after 48h the broker takes it away", diag.SeverityError},
		"not even one":              {text("48h"), text("12h"), text("48h"), "to at least 156h15m", diag.SeverityError},
		"nobody knows":              {text("1000h"), text("12h"), types.StringNull(), "may be held for 3012h15m", diag.SeverityWarning},
		"the broker's comes later":  {text("48h"), text("12h"), types.StringUnknown(), "", 0},
		"the worker's comes later":  {types.StringUnknown(), text("12h"), text("1m"), "", 0},
		"the spool's comes later":   {text("48h"), types.StringUnknown(), text("1m"), "", 0},
		"the worker's, and nothing": {types.StringUnknown(), text("12h"), types.StringNull(), "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var diags diag.Diagnostics
			model := &workerModel{Timeout: tc.timeout, SpoolPatience: tc.patience, DeliveryTimeout: tc.delivery}
			planDeliveryTimeout(&planning[workerModel]{model: model, diags: &diags})
			if tc.want == "" {
				if len(diags) > 0 {
					t.Errorf("got %v", diags)
				}
				return
			}
			if len(diags) != 1 || !strings.Contains(diags[0].Detail(), tc.want) || diags[0].Severity() != tc.severity {
				t.Fatalf("got %v, want %q", diags, tc.want)
			}
			if where, ok := diags[0].(diag.DiagnosticWithPath); !ok || !where.Path().Equal(path.Root("delivery_timeout")) {
				t.Errorf("%v is not at the delivery timeout", diags[0])
			}
		})
	}
}

// TestDefaultTimeoutsFit: a broker and a worker about which nobody has thought get along.
func TestDefaultTimeoutsFit(t *testing.T) {
	t.Parallel()
	if err := run.CheckDeliveryTimeout(rabbitmq.DefaultDeliveryTimeout, config.DefaultTimeout, config.DefaultSpoolPatience); err != nil {
		t.Error(err)
	}
}
