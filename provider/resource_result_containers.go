package provider

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/provider/swift"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store"
	swiftstore "github.com/autopkgtest-cloud/autopkgtest-cloud/worker/store/swift"
)

type resultContainersModel struct {
	baseModel
	Store        types.Object `tfsdk:"store"`
	Releases     types.Set    `tfsdk:"releases"`
	ForceDestroy types.Bool   `tfsdk:"force_destroy"`
	Names        types.Set    `tfsdk:"names"`
}

type resultContainersKind struct{}

func newResultContainers() resource.Resource {
	return &managed[resultContainersModel]{kind: resultContainersKind{}, mutableIdentity: true}
}

func (resultContainersKind) typeName() string                              { return "result_containers" }
func (resultContainersKind) base(m *resultContainersModel) *baseModel      { return &m.baseModel }
func (resultContainersKind) well() string                                  { return inPlace }
func (resultContainersKind) patience(*resultContainersModel) time.Duration { return 5 * time.Minute }

func (resultContainersKind) identity(m *resultContainersModel) []identityValue {
	value := types.StringNull()
	if url, ok := m.Store.Attributes()["storage_url"].(types.String); ok {
		value = url
	}
	return []identityValue{{name: "storage_url", description: "Public address above the containers.", value: value}}
}

func (resultContainersKind) schema(ctx context.Context) schema.Schema {
	return schema.Schema{
		MarkdownDescription: "The containers that hold the results of releases, one each, which everybody may list and read.",
		Attributes: baseAttributes(ctx, inPlace, map[string]schema.Attribute{
			"store":    storeAttribute(),
			"releases": releasesAttribute(),
			"force_destroy": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				MarkdownDescription: "Whether a container may be removed with the results in it. Results exist nowhere else. " +
					"Default: `false`.",
			},
			"names": schema.SetAttribute{
				Computed: true, ElementType: types.StringType, MarkdownDescription: "Names of the containers.",
			},
		}),
	}
}

// wantedContainers are the names that a model asks for; nil while parts of it are not known.
func wantedContainers(m *resultContainersModel) []string {
	releases, known := stringsOf(m.Releases)
	if !known {
		return nil
	}
	var names []string
	for _, release := range releases {
		names = append(names, result.Container(release, nil, false))
	}
	return names
}

func (resultContainersKind) plan(_ context.Context, p *planning[resultContainersModel]) {
	p.model.Names = types.SetUnknown(types.StringType)
	if wanted := wantedContainers(p.model); wanted != nil {
		p.model.Names = stringSet(wanted)
	}
}

func (resultContainersKind) planRemoval(context.Context, *call[resultContainersModel]) {}

func (resultContainersKind) ensure(ctx context.Context, c *call[resultContainersModel]) error {
	client, _, err := c.storeClient(ctx, storeOf(ctx, c.model.Store))
	if err != nil {
		return err
	}
	wanted := wantedContainers(c.model)
	for _, name := range wanted {
		if err := client.CreateContainer(ctx, name, true); err != nil {
			return at(path.Root("store"), err)
		}
	}
	c.model.Names = stringSet(wanted)
	if c.prior == nil {
		return nil
	}
	had, _ := stringsOf(c.prior.Names)
	dropped := slices.DeleteFunc(had, func(name string) bool { return slices.Contains(wanted, name) })
	return at(path.Root("releases"), removeContainers(ctx, c, dropped))
}

// removeContainers never removes a result unless it was told to.
func removeContainers(ctx context.Context, c *call[resultContainersModel], names []string) error {
	s := storeOf(ctx, c.model.Store)
	account, err := c.storeAccount(ctx, s)
	if err != nil {
		return err
	}
	dial := c.dialerOf(s.CredentialsFile.ValueString())
	for _, name := range names {
		err := swift.RemoveContainerBy(ctx, account, dial, name, c.model.ForceDestroy.ValueBool())
		if errors.Is(err, swift.ErrNotEmpty) {
			return &problem{
				title: "The container " + name + " holds results, and they exist nowhere else",
				detail: "Keep the release, or say that its results may go with force_destroy = true (before a destroy, apply that). " +
					"To keep the container and forget it here: terraform state rm.",
				err: err,
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (resultContainersKind) inspect(ctx context.Context, c *call[resultContainersModel]) (finding, error) {
	names, _ := stringsOf(c.model.Names)
	found, err := c.inspectContainers(ctx, storeOf(ctx, c.model.Store), names)
	if err != nil {
		return unseenStore(err, "the containers "+strings.Join(names, ", "))
	}
	return found, nil
}

// inspectContainers lists each container as anybody would: what the access list says is less certain than what it does.
func (c *call[M]) inspectContainers(ctx context.Context, s storeModel, names []string) (finding, error) {
	client, account, err := c.storeClient(ctx, s)
	if err != nil {
		return finding{}, err
	}
	there, err := client.Containers(ctx)
	if err != nil {
		return finding{}, err
	}
	anonymous := swiftstore.AnonymousBy(account.StorageURL, c.dialerOf(s.CredentialsFile.ValueString()))
	for _, name := range names {
		if !slices.Contains(there, name) {
			return finding{Problem: "the container " + name + " is missing"}, nil
		}
		_, err := anonymous.List(ctx, name, store.Query{Limit: 1})
		if errors.Is(err, store.ErrDenied) || errors.Is(err, store.ErrNotFound) {
			return finding{Problem: "the container " + name + " cannot be listed by everybody"}, nil
		}
		if err != nil {
			return finding{}, err
		}
	}
	return finding{}, nil
}

func (resultContainersKind) remove(ctx context.Context, c *call[resultContainersModel]) error {
	names, _ := stringsOf(c.model.Names)
	err := removeContainers(ctx, c, names)
	switch {
	case errors.Is(err, errStoreGone):
		return nil
	case errors.Is(err, swift.ErrNoAnswer), machineAway(err):
		c.diags.AddWarning("Left in a store that does not answer",
			"The containers "+strings.Join(names, ", ")+" could not be removed: "+err.Error()+
				"\n\nThey go with the store's data when the store itself is removed.")
		return nil
	}
	return err
}
