package provider

import (
	"context"
	"errors"
	"io/fs"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/config"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	swiftstore "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

// storeModel is how a result store is handed from one resource to the others.
type storeModel struct {
	AuthURL         types.String `tfsdk:"auth_url"`
	StorageURL      types.String `tfsdk:"storage_url"`
	CredentialsFile types.String `tfsdk:"credentials_file"`
	Incarnation     types.String `tfsdk:"incarnation"`
}

var storeTypes = map[string]attr.Type{
	"auth_url":         types.StringType,
	"storage_url":      types.StringType,
	"credentials_file": types.StringType,
	"incarnation":      types.StringType,
}

const (
	authURLText    = "Where clients log in."
	storageURLText = "Public address above the containers: `STORAGE_URL/CONTAINER/OBJECT` is read without logging in."
	storeFileText  = "Path of a 0600 file with the store's credentials (INI, section `[swift]`); one that lies on another machine is " +
		"`ssh://USER@HOST:PORT/PATH`, and the store is then reached by way of that machine."
)

// storeAttribute is the store that a resource works on.
func storeAttribute() schema.Attribute {
	return schema.SingleNestedAttribute{
		Required: true,
		MarkdownDescription: "The store, as `autopkgtest_swift_server` hands it out in its attribute `store`; or written by hand " +
			"for one that somebody else runs.",
		Attributes: map[string]schema.Attribute{
			"credentials_file": schema.StringAttribute{Required: true, MarkdownDescription: storeFileText},
			"storage_url": schema.StringAttribute{
				Required: true, MarkdownDescription: storageURLText, Validators: []validator.String{webURL()},
			},
			"auth_url": schema.StringAttribute{
				Optional: true, MarkdownDescription: authURLText, Validators: []validator.String{webURL()},
			},
			"incarnation": schema.StringAttribute{Optional: true, MarkdownDescription: incarnationText},
		},
	}
}

// computedStore is the store that a server hands out.
func computedStore() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"credentials_file": schema.StringAttribute{Computed: true, MarkdownDescription: storeFileText},
		"storage_url":      schema.StringAttribute{Computed: true, MarkdownDescription: storageURLText},
		"auth_url":         schema.StringAttribute{Computed: true, MarkdownDescription: authURLText},
		"incarnation":      schema.StringAttribute{Computed: true, MarkdownDescription: incarnationText},
	}
}

// storeOf reads a store out of a model's object.
func storeOf(ctx context.Context, object types.Object) (s storeModel) {
	if !object.IsNull() && !object.IsUnknown() {
		_ = object.As(ctx, &s, basetypes.ObjectAsOptions{}) // the schema has the same attributes
	}
	return s
}

// errStoreGone: the file that opens the store is gone, and with it, in a stack's folder, the store.
var errStoreGone = errors.New("the store is gone")

// storeAccount reads a store's credentials.
func (s *settings) storeAccount(ctx context.Context, m storeModel) (config.Store, error) {
	account, err := s.readStore(ctx, m.CredentialsFile.ValueString())
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(errStoreGone, err)
	}
	return account, at(path.Root("store").AtName("credentials_file"), err)
}

// storeClient is a store, and the account at it.
func (s *settings) storeClient(ctx context.Context, m storeModel) (*swiftstore.Store, config.Store, error) {
	account, err := s.storeAccount(ctx, m)
	if err != nil {
		return nil, account, err
	}
	return swiftstore.NewBy(account, s.dialerOf(m.CredentialsFile.ValueString())), account, nil
}

// unseenStore is what unseenBroker is for a broker.
func unseenStore(err error, what string) (finding, error) {
	switch {
	case errors.Is(err, errStoreGone):
		return finding{Problem: "the store is gone, and with it " + what, Absent: true}, nil
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), machineAway(err):
		return finding{Unseen: err.Error()}, nil
	}
	return finding{}, err
}
