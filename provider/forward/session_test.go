package forward

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/yamux"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
)

// pair is a session whose other end answers with handle.
func pair(t *testing.T, handle handler) (*session, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	client, err := yamux.Client(near, muxConfig(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	server, err := yamux.Server(far, muxConfig(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { (&session{server}).serve(context.Background(), handle); close(served) }()
	t.Cleanup(func() {
		client.Close()
		near.Close()
		select {
		case <-served:
		case <-time.After(10 * time.Second):
			t.Error("the other end does not end with the connection")
		}
	})
	return &session{client}, far
}

// TestCancelledCallIsAnswered: whoever interrupts learns what became of the call.
func TestCancelledCallIsAnswered(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	s, _ := pair(t, func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
		close(begun)
		<-ctx.Done()
		return "half done", nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	var got string
	if err := s.call(ctx, "work", 1, &got); err != nil || got != "half done" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestLostConnection ends both: the caller with an error, the work with a cancelled context.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	s, connection := pair(t, func(ctx context.Context, _ string, _ json.RawMessage) (any, error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return nil, nil
	})
	go func() { <-begun; connection.Close() }()
	if err := s.call(t.Context(), "work", 1, new(string)); !errors.Is(err, errEnded) {
		t.Errorf("%v", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the work goes on")
	}
}

func TestFailuresKeepTheirKind(t *testing.T) {
	t.Parallel()
	for _, kind := range []error{fs.ErrNotExist, config.ErrExposed, config.ErrInvalid} {
		s, _ := pair(t, func(context.Context, string, json.RawMessage) (any, error) {
			return nil, errors.Join(errors.New("more"), kind)
		})
		err := s.call(t.Context(), "work", 1, new(string))
		if !errors.Is(err, kind) || errors.Is(err, io.EOF) {
			t.Errorf("%v has become %v", kind, err)
		}
	}
}

// TestAnswersSurvive: what the protocol's structs hide is sent as well.
func TestAnswersSurvive(t *testing.T) {
	t.Parallel()
	root := tftypes.NewAttributePath().WithAttributeName("a")
	object := tftypes.NewValue(tftypes.Object{AttributeTypes: map[string]tftypes.Type{"b": tftypes.String}},
		map[string]tftypes.Value{"b": tftypes.NewValue(tftypes.String, "c")})
	paths := []*tftypes.AttributePath{
		root, root.WithElementKeyString("k"), root.WithElementKeyInt(3), root.WithElementKeyValue(object).WithAttributeName("b"),
		root.WithElementKeyValue(tftypes.NewValue(tftypes.Number, 7)),
	}
	sent := planAnswer{PlanResourceChangeResponse: &tfprotov6.PlanResourceChangeResponse{
		PlannedState: &tfprotov6.DynamicValue{MsgPack: []byte{1, 2, 255}}, RequiresReplace: paths, PlannedPrivate: []byte("private"),
		PlannedIdentity: &tfprotov6.ResourceIdentityData{IdentityData: &tfprotov6.DynamicValue{MsgPack: []byte{7}}},
	}}
	var all []*tfprotov6.Diagnostic
	for _, path := range paths {
		sent.RequiresReplace = append(sent.RequiresReplace, attributePath{path})
		all = append(all, &tfprotov6.Diagnostic{Severity: tfprotov6.DiagnosticSeverityWarning, Summary: "s", Detail: "d", Attribute: path})
	}
	all = append(all, &tfprotov6.Diagnostic{Severity: tfprotov6.DiagnosticSeverityError, Summary: "without a place"})
	sent.Diagnostics = wireDiagnostics(all)
	data, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got planAnswer
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		if !got.RequiresReplace[i].Equal(path) {
			t.Errorf("%s has become %s", path, got.RequiresReplace[i])
		}
	}
	for i, d := range got.Diagnostics.unwired() {
		if d.Severity != all[i].Severity || d.Summary != all[i].Summary || d.Detail != all[i].Detail || !d.Attribute.Equal(all[i].Attribute) {
			t.Errorf("%+v has become %+v", all[i], d)
		}
	}
	if resp := got.PlanResourceChangeResponse; string(resp.PlannedPrivate) != "private" || string(resp.PlannedState.MsgPack) != "\x01\x02\xff" ||
		resp.PlannedState.JSON != nil || string(resp.PlannedIdentity.IdentityData.MsgPack) != "\x07" {
		t.Errorf("%+v", resp)
	}
}
