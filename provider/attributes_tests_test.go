//go:build !acceptance && !machine

// The tests with Terraform run in an empty folder, and these read the files of all tests.

package provider

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// testTexts is what each test function says in its literals, and in those of the declarations that it uses: by its name. Of the
// tests of examples, which apply files, a test has the files' text, too. The code is parsed and not run, so tests of all kinds count.
func testTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for name, text := range packageTexts(t, "*_test.go") {
		texts[name] = text
	}
	applied := ""
	for _, pattern := range []string{"../examples/*/*.tf"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no file is %s: %v", pattern, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			applied += string(content)
		}
	}
	for name, text := range packageTexts(t, "../examples/*_test.go") {
		texts["examples."+name] = text + applied
	}
	return texts
}

func packageTexts(t *testing.T, pattern string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file is %s: %v", pattern, err)
	}
	declared := map[string][]ast.Node{} // a method's name stands for all methods of that name
	tests := map[string]bool{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				declared[d.Name.Name] = append(declared[d.Name.Name], d.Body)
				tests[d.Name.Name] = tests[d.Name.Name] || d.Recv == nil && strings.HasPrefix(d.Name.Name, "Test")
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if values, ok := spec.(*ast.ValueSpec); ok {
						for _, name := range values.Names {
							declared[name.Name] = append(declared[name.Name], values)
						}
					}
				}
			}
		}
	}
	texts := map[string]string{}
	for name, is := range tests {
		if is {
			var text strings.Builder
			collect(declared, name, map[string]bool{}, &text)
			texts[name] = text.String()
		}
	}
	return texts
}

func collect(declared map[string][]ast.Node, name string, seen map[string]bool, text *strings.Builder) {
	if seen[name] {
		return
	}
	seen[name] = true
	for _, node := range declared[name] {
		ast.Inspect(node, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if value, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					text.WriteString(value + "\n")
				}
			case *ast.Ident:
				collect(declared, n.Name, seen, text)
			}
			return true
		})
	}
}

// mentions says whether a text has a name as a word of its own.
func mentions(text, name string) bool {
	return regexp.MustCompile(`(^|[^a-z0-9_])` + regexp.QuoteMeta(name) + `($|[^a-z0-9_])`).MatchString(text)
}

// attributesTable says for every attribute of every resource in which test it is created, updated (or replaced), drifts and is
// refused, and for every resource in which it is imported, disappears, and is replaced. A test of provider/ goes without its
// "Test". What stands in the place of a test:
//
//	-set   the provider sets it, so no configuration is right or wrong
//	-any   whatever has its type is right
//	-conf  only the configuration has it, so there is nothing that could drift
//	-part  it is seen by what it does to its resource, which the other attributes' tests look at
//	?      there is no such test
const attributesTable = `
resource autopkgtest_rabbitmq_server import=AccRabbitMQServerChanges disappeared=AccStack replaced=AccReplace
allow_message_loss  AccReplace AccReplace -conf -any
broker              AccRabbitMQServerChanges AccRabbitMQServerChanges -part -set
cluster             examples.TestCluster examples.TestCluster examples.TestCluster AccRabbitMQServerRefuses
delivery_timeout    AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
directory           AccRabbitMQServerChanges AccReplace -part InvalidValues
disk_free_limit     AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
host               AccHost AccHost -part AccHost
listen              AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
log_files           AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
log_size            AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
memory_watermark    AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
port                AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
status              AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges -set
system             SystemWide AccStack -part AccStack
timeouts            AccTimeouts AccStack -conf InvalidValues
tls                 AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerChanges AccRabbitMQServerRefuses
tls_endpoint        AccRabbitMQServerChanges AccRabbitMQServerChanges -part -set

resource autopkgtest_swift_server import=AccStack disappeared=AccStack replaced=AccReplace
directory           AccStack AccReplace -part AccRefusals
force_destroy       AccReplace AccReplace -conf -any
host          AccHost AccHostInterrupted -part InvalidValues
listen              AccSwiftServerListens AccSwiftServerListens AccSwiftServerListens AccSwiftServerRefuses
status              AccStack AccStack AccStack -set
store               AccStack AccStack -part -set
system        SystemWide AccStack -part AccStack
timeouts            AccTimeouts AccStack -conf InvalidValues

resource autopkgtest_broker import=AccForeignBroker disappeared=AccStack replaced=AccForeignBroker
absent_users        AccForeignBroker AccForeignBroker AccForeignBroker AccForeignBroker
broker              AccForeignBroker AccForeignBroker AccForeignBroker AccForeignBroker
listener_limit      AccForeignBroker AccForeignBroker AccForeignBroker AccForeignBroker
max_connections     AccForeignBroker AccForeignBroker AccForeignBroker AccForeignBroker
max_queues          AccForeignBroker AccForeignBroker AccForeignBroker AccForeignBroker
mirrors             AccForeignBroker AccForeignBroker AccForeignBroker AccForeignBroker
rejected_limit      AccForeignBroker AccForeignBroker AccForeignBroker AccForeignBroker
require_amqp_0_8    AccForeignBroker AccForeignBroker -conf AccForeignBroker
status              AccBroker AccBroker AccBroker -set
timeouts            AccForeignBroker AccTimeouts -conf InvalidValues

resource autopkgtest_broker_user import=AccBrokerUserChanges disappeared=AccBrokerUserIsRepaired replaced=AccBrokerUserChanges
advertised_host     AccBrokerUserAdvertised AccBrokerUserAdvertised AccBrokerUserAdvertised AccBrokerUserAdvertised
broker              AccBrokerUserIsRepaired AccBrokerUserOverTLS AccBrokerUserOverTLS InvalidValues
credentials_file    AccBrokerUserIsRepaired AccBrokerUserChanges AccBrokerUserIsRepaired AccBrokerUserRefuses
grace               AccRotation AccRotation AccRotation AccRotationRefuses
grace_idle          AccGraceIdle AccGraceIdle AccGraceIdle AccRotationRefuses
max_channels        AccBrokerUserLimits AccBrokerUserLimits AccBrokerUserLimits AccBrokerUserLimitsRefused
max_connections     AccBrokerUserLimits AccBrokerUserLimits AccBrokerUserLimits AccBrokerUserLimitsRefused
name                AccBrokerUserIsRepaired AccBrokerUserChanges -conf AccBrokerUserRefuses
owner               AccBrokerUserOwner AccBrokerUserOwner AccBrokerUserOwner AccBrokerUserRefuses
permissions         AccBrokerUserPermissions AccBrokerUserPermissions AccBrokerUserPermissions AccBrokerUserRefusesPermissions
role                AccBrokerUserIsRepaired AccBrokerUserChanges AccBrokerUserIsRepaired AccBrokerUserRefuses
rotation            AccRotation AccRotation AccRotation AccRotationRefuses
shell_file          AccBrokerUserForAShell AccBrokerUserForAShell AccBrokerUserForAShell -set
status              AccBrokerUserIsRepaired AccBrokerUserIsRepaired AccBrokerUserIsRepaired -set
timeouts            AccTimeouts AccTimeouts -conf InvalidValues
tls_endpoint        AccBrokerUserOverTLS AccBrokerUserOverTLS AccBrokerUserOverTLS AccBrokerUserEndpointRefused
username            AccRotation AccRotation -part -set

resource autopkgtest_request_queues import=AccRequestQueues disappeared=AccStack replaced=AccRequestQueues
allow_message_loss  AccRequestQueues AccRequestQueues -conf -any
architectures       AccRequestQueues AccRequestQueues AccRequestQueues AccRequestQueuesRefuse
broker              AccRequestQueues AccStack -part InvalidValues
contexts            AccRequestQueues AccRequestQueues AccRequestQueues AccRequestQueuesRefuse
drain_timeout       AccRequestQueuesDrain AccRequestQueuesDrain -conf AccRequestQueuesRefuse
names               AccRequestQueues AccRequestQueues AccRequestQueues -set
releases            AccRequestQueues AccRequestQueues AccRequestQueues AccRequestQueuesRefuse
status              AccRequestQueues AccRequestQueues AccRequestQueues -set
timeouts            AccTimeouts AccTimeouts -conf InvalidValues

resource autopkgtest_result_containers import=AccResultContainers disappeared=AccStack replaced=AccResultContainers
force_destroy       AccResultContainers AccResultContainers -conf -any
names               AccResultContainers AccResultContainers AccResultContainers -set
releases            AccResultContainers AccResultContainers AccResultContainers InvalidValues
status              AccResultContainers AccResultContainers AccResultContainers -set
store               AccResultContainers AccStack -part InvalidValues
timeouts            AccTimeouts AccTimeouts -conf InvalidValues

resource autopkgtest_instance import=AccOpenStackInstanceImport disappeared=AccOpenStackInstance replaced=AccOpenStackInstance
address          AccOpenStackInstance AccOpenStackInstance -part -set
cloud            AccOpenStackInstance AccOpenStackInstanceImport -conf AccOpenStackInstanceRefuses
flavor           AccOpenStackInstance AccOpenStackInstance -part AccOpenStackInstanceRefuses
groups           AccOpenStackInstance AccOpenStackInstance AccOpenStackInstance AccOpenStackInstanceRefuses
host_key         AccOpenStackInstanceWaits AccOpenStackInstanceWaits -part -set
id               AccOpenStackInstance AccOpenStackInstance AccOpenStackInstance -set
image_id         AccOpenStackInstance AccOpenStackInstance -part -set
image_name       AccOpenStackInstance AccOpenStackInstance -part -set
image_pattern    AccOpenStackInstance AccOpenStackInstance -conf AccOpenStackInstanceRefuses
key              AccOpenStackInstance AccOpenStackInstance -part AccOpenStackInstanceRefuses
mirror           AccOpenStackInstance AccOpenStackInstance -conf AccOpenStackInstanceRefuses
name             AccOpenStackInstance AccOpenStackInstance AccOpenStackInstance AccOpenStackInstanceRefuses
network          AccOpenStackInstance AccOpenStackInstance -part AccOpenStackInstanceRefuses
port_id          AccOpenStackInstance AccOpenStackInstance -part -set
proxy            AccOpenStackInstance AccOpenStackInstance -conf AccOpenStackInstanceRefuses
region           AccOpenStackInstance AccOpenStackInstance -part AccOpenStackInstanceRefuses
security_mirror  AccOpenStackInstance AccOpenStackInstance -conf AccOpenStackInstanceRefuses
ssh              AccOpenStackInstanceWaits AccOpenStackInstanceWaits -conf AccOpenStackInstanceRefuses
status           AccOpenStackInstance AccOpenStackInstance AccOpenStackInstance -set
timeouts         AccOpenStackInstanceWaits AccOpenStackInstanceWaits -conf AccOpenStackInstanceRefuses
user_data        AccOpenStackInstance AccOpenStackInstance -conf AccOpenStackInstanceRefuses
wait_for         AccOpenStackInstanceWaits AccOpenStackInstanceWaits -conf AccOpenStackInstanceRefuses

resource autopkgtest_testbed_image import=AccTestbedImage disappeared=examples.TestLocal replaced=AccTestbedImage
architecture        examples.TestLocal AccTestbedImage -conf InvalidValues
binary              AccTestbedImage AccTestbedImage AccTestbedImage -set
cache               examples.TestLocal AccTestbedImage -conf InvalidValues
directory           examples.TestLocal AccTestbedImage -part AccRefusals
host          AccHost AccHost -part InvalidValues
cloud               AccOpenStackTestbedImage AccOpenStackTestbedImage AccOpenStackTestbedImage AccOpenStackTestbedImageRefuses
include             AccTestbedImage AccTestbedImage AccTestbedImage InvalidValues
mirror              AccRefusals AccTestbedImage AccTestbedImage InvalidValues
path                examples.TestLocal AccTestbedImage -part -set
refresh_every       AccTestbedImage AccTestbedImage AccTestbedImage InvalidValues
release             examples.TestLocal AccTestbedImage -conf AccRefusals
status              AccTestbedImage AccTestbedImage AccTestbedImage -set
system        SystemWide AccTestbedImage -part AccTestbedImage
timeouts            AccTimeouts AccTestbedImage -conf InvalidValues

resource autopkgtest_security_group import=AccOpenStackSecurityGroupImport disappeared=AccOpenStackSecurityGroup replaced=AccOpenStackSecurityGroup
adopt          AccOpenStackSecurityGroupAdopted AccOpenStackSecurityGroupAdopted -conf AccOpenStackSecurityGroupDefault
cloud          AccOpenStackSecurityGroup AccOpenStackSecurityGroupRegion -conf AccOpenStackSecurityGroupBadDays
description    AccOpenStackSecurityGroup AccOpenStackSecurityGroup AccOpenStackSecurityGroup AccOpenStackSecurityGroupRefused
foreign_rules  AccOpenStackSecurityGroupAdopted AccOpenStackSecurityGroupAdopted AccOpenStackSecurityGroupAdopted -set
id             AccOpenStackSecurityGroupRegion AccOpenStackSecurityGroupRegion -part -set
name           AccOpenStackSecurityGroup AccOpenStackSecurityGroup AccOpenStackSecurityGroup AccOpenStackSecurityGroupRefused
presets        AccOpenStackSecurityGroup AccOpenStackSecurityGroup -part AccOpenStackSecurityGroupRefused
region         AccOpenStackSecurityGroup AccOpenStackSecurityGroupRegion -part -set
rules          AccOpenStackSecurityGroup AccOpenStackSecurityGroup AccOpenStackSecurityGroup AccOpenStackSecurityGroupRefused
status         AccOpenStackSecurityGroup AccOpenStackSecurityGroup AccOpenStackSecurityGroup -set
timeouts       AccOpenStackSecurityGroupInUse AccOpenStackSecurityGroupInUse -conf InvalidValues

resource autopkgtest_keypair import=AccOpenStackKeyPairImport disappeared=AccOpenStackKeyPair replaced=AccOpenStackKeyPair
cloud            AccOpenStackKeyPair AccOpenStackKeyPair -conf AccOpenStackKeyPairRefuses
fingerprint      AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPair -set
name             AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPairRefuses
owner            AccOpenStackKeyPairGiven AccOpenStackKeyPairGiven AccOpenStackKeyPairGiven AccOpenStackKeyPairRefuses
private_key_file AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPairRefuses
public_key       AccOpenStackKeyPairGiven AccOpenStackKeyPairGiven AccOpenStackKeyPair AccOpenStackKeyPairRefuses
public_key_file  AccOpenStackKeyPairGiven AccOpenStackKeyPairGiven AccOpenStackKeyPairGiven AccOpenStackKeyPairRefuses
region           AccOpenStackKeyPair AccOpenStackKeyPair -part AccOpenStackKeyPairRefuses
status           AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPair -set
timeouts         AccOpenStackKeyPairRefuses AccOpenStackKeyPair -conf AccOpenStackKeyPairRefuses
worker_conf      AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPair AccOpenStackKeyPairRefuses

resource autopkgtest_floating_ip import=AccOpenStackFloatingIPImport disappeared=AccOpenStackFloatingIP replaced=AccOpenStackFloatingIPAdopts
address     AccOpenStackFloatingIPAdopts AccOpenStackFloatingIPAdopts AccOpenStackFloatingIP AccOpenStackFloatingIPAdopts
adopted     AccOpenStackFloatingIP AccOpenStackFloatingIPAdopts -part -set
cloud       AccOpenStackFloatingIP AccOpenStackFloatingIP -conf AccOpenStackFloatingIPBadDays
fixed_ip    AccOpenStackFloatingIPOfAnInstance AccOpenStackFloatingIP AccOpenStackFloatingIP InvalidValues
id          AccOpenStackFloatingIP AccOpenStackFloatingIP AccOpenStackFloatingIP -set
instance_id AccOpenStackFloatingIPOfAnInstance AccOpenStackFloatingIPOfAnInstance AccOpenStackFloatingIPOfAnInstance AccOpenStackFloatingIPOfAnInstance
name        AccOpenStackFloatingIP AccOpenStackFloatingIPImport AccOpenStackFloatingIP InvalidValues
pool        AccOpenStackFloatingIP AccOpenStackFloatingIP -conf AccOpenStackFloatingIPBadDays
port_id     AccOpenStackFloatingIP AccOpenStackFloatingIP AccOpenStackFloatingIP AccOpenStackFloatingIPBadDays
region      AccOpenStackFloatingIP AccOpenStackFloatingIP -part AccOpenStackFloatingIPBadDays
status      AccOpenStackFloatingIP AccOpenStackFloatingIP AccOpenStackFloatingIP -set
timeouts    AccOpenStackFloatingIP AccOpenStackFloatingIP -conf InvalidValues

resource autopkgtest_worker import=AccStack disappeared=AccStack replaced=AccStack
architectures           AccStack AccStack AccStack InvalidValues
binary                  AccStack AccStack AccStack -set
broker_credentials_file AccStack AccStack AccStack InvalidValues
contexts                AccStack AccStack AccStack InvalidValues
delivery_timeout        AccStack AccStack -part AccRefusals
directory               AccStack AccStack -part AccRefusals
drain_timeout           AccStack AccStack AccStack InvalidValues
host                    AccHost AccHost -part InvalidValues
images                  AccStack AccStack AccStack AccRefusals
key_file                AccOpenStackWorkerConf AccOpenStackWorkerConf AccOpenStackWorkerConf AccWorkerConfRefuses
key_name                AccOpenStackWorkerConf AccOpenStackWorkerConf -part AccWorkerConfRefuses
rc_files                AccOpenStackWorkerConf AccOpenStackWorkerConf AccOpenStackWorkerConf AccWorkerConfRefuses
releases                AccStack AccStack AccStack InvalidValues
slots                   AccStack AccStack AccStack InvalidValues
spool_patience          AccStack AccStack AccStack InvalidValues
status                  AccStack AccStack AccStack -set
store_credentials_file  AccStack AccStack AccStack InvalidValues
system                  SystemWide AccStack -part AccStack
timeout                 AccStack AccStack AccStack InvalidValues
timeouts                AccTimeouts AccStack -conf InvalidValues
worker_conf             AccOpenStackWorkerConf AccOpenStackWorkerConf AccOpenStackWorkerConf AccWorkerConfRefuses

resource autopkgtest_web import=AccStack disappeared=AccStack replaced=AccStack
architectures             AccStack AccStack AccStack InvalidValues
binary                    AccStack AccStack AccStack -set
broker                    AccStack AccStack AccStack InvalidValues
broker_credentials_file   AccStack AccStack AccStack InvalidValues
directory                 AccStack AccStack -part AccRefusals
external_url              AccStack AccStack AccStack InvalidValues
host                      AccHost AccHost -part InvalidValues
listen                    AccStack AccStack AccStack InvalidValues
operator_configuration    examples.TestLocal AccStack AccStack -set
operator_credentials_file AccStack AccStack AccStack InvalidValues
port                      AccStack AccStack AccStack InvalidValues
releases                  AccStack AccStack AccStack InvalidValues
status                    AccStack AccStack AccStack -set
storage_url               AccStack AccStack AccStack InvalidValues
system                    SystemWide AccStack -part AccStack
timeouts                  AccRefusals AccStack -conf InvalidValues
url                       examples.TestLocal AccStack -part -set
`

// untested is how many cells of the table have no test. Whoever adds an attribute without a test has to write a greater number.
const untested = 0

// cellsOfAnAttribute are create, update or replace, drift, invalid.
const cellsOfAnAttribute = 4

func TestAttributesAreTested(t *testing.T) {
	t.Parallel()
	texts := testTexts(t)
	table := map[string]map[string]bool{}
	resource, gaps := "", 0
	check := func(where, name, cell string) {
		switch cell {
		case "?":
			gaps++
			return
		case "-set", "-any", "-conf", "-part":
			return
		}
		if !strings.HasPrefix(cell, "examples.") {
			cell = "Test" + cell
		}
		if text, there := texts[cell]; !there {
			t.Errorf("%s: there is no test %s", where, cell)
		} else if !mentions(text, name) || !mentions(text, resource) {
			t.Errorf("%s: the test %s does not speak of %s of %s", where, cell, name, resource)
		}
	}
	for line := range strings.Lines(attributesTable) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "resource":
			resource = words[1]
			table[resource] = map[string]bool{}
			kinds := []string{"import=", "disappeared=", "replaced="}
			for i, cell := range words[2:] {
				test, right := strings.CutPrefix(cell, kinds[i])
				if !right {
					t.Errorf("%s: %s stands where %s belongs", resource, cell, kinds[i])
				}
				check(resource, resource, test)
			}
		case len(words) != 1+cellsOfAnAttribute:
			t.Errorf("%s: %q has not %d cells", resource, line, cellsOfAnAttribute)
		default:
			table[resource][words[0]] = true
			for _, cell := range words[1:] {
				check(resource+"."+words[0], words[0], cell)
			}
		}
	}
	for name, attributes := range resourceAttributes(t) {
		for attribute := range attributes {
			if !table[name][attribute] {
				t.Errorf("%s.%s has no row in the table: say where it is tested", name, attribute)
			}
			delete(table[name], attribute)
		}
		for attribute := range table[name] {
			t.Errorf("%s has no attribute %s", name, attribute)
		}
		delete(table, name)
	}
	for name := range table {
		t.Errorf("there is no resource %s", name)
	}
	if gaps != untested {
		t.Errorf("%d cells have no test, and the table is known to lack %d", gaps, untested)
	}
}

func resourceAttributes(t *testing.T) map[string]map[string]schema.Attribute {
	t.Helper()
	all := map[string]map[string]schema.Attribute{}
	for _, made := range (&autopkgtestProvider{}).Resources(t.Context()) {
		var metadata resource.MetadataResponse
		var described resource.SchemaResponse
		r := made()
		r.Metadata(t.Context(), resource.MetadataRequest{ProviderTypeName: typeName}, &metadata)
		r.Schema(t.Context(), resource.SchemaRequest{}, &described)
		all[metadata.TypeName] = described.Schema.Attributes
	}
	return all
}

// TestInvalidValues has validators refuse a value of each kind that is wrong, and name it or say what they want.
func TestInvalidValues(t *testing.T) {
	t.Parallel()
	text := types.StringValue
	all := resourceAttributes(t)
	for where, value := range map[string]attr.Value{
		"autopkgtest_rabbitmq_server.directory":            text("stack"),
		"autopkgtest_rabbitmq_server.host.address":         text("root@broker"),
		"autopkgtest_rabbitmq_server.timeouts.create":      text("soon"),
		"autopkgtest_swift_server.host.port":               types.Int64Value(0),
		"autopkgtest_swift_server.timeouts.update":         text("soon"),
		"autopkgtest_broker.timeouts.create":               text("soon"),
		"autopkgtest_broker_user.broker.management_url":    text("broker.example"),
		"autopkgtest_broker_user.timeouts.delete":          text("soon"),
		"autopkgtest_request_queues.broker.management_url": text("amqp://broker.example"),
		"autopkgtest_request_queues.timeouts.create":       text("soon"),
		"autopkgtest_result_containers.store.auth_url":     text("store.example"),
		"autopkgtest_result_containers.store.storage_url":  text("store.example/v1/AUTH_x"),
		"autopkgtest_result_containers.timeouts.create":    text("soon"),
		"autopkgtest_security_group.timeouts.delete":       text("soon"),
		"autopkgtest_testbed_image.host.user":              text("-l"),
		"autopkgtest_testbed_image.timeouts.create":        text("soon"),
		"autopkgtest_floating_ip.fixed_ip":                 text("2001:db8::1"),
		"autopkgtest_floating_ip.name":                     text("a\nb"),
		"autopkgtest_floating_ip.timeouts.create":          text("soon"),
		"autopkgtest_worker.host.identity_file":            text("id_ed25519"),
		"autopkgtest_worker.timeouts.update":               text("soon"),
		"autopkgtest_web.broker.management_url":            text("broker.example:15672"),
		"autopkgtest_web.host.host_key":                    text("AAAA"),
		"autopkgtest_web.timeouts.delete":                  text("soon"),
		"autopkgtest_result_containers.releases":           stringSet([]string{"focal-updates"}),
		"autopkgtest_testbed_image.architecture":           text("linux-amd64"),
		"autopkgtest_testbed_image.cache":                  text("cache"),
		"autopkgtest_testbed_image.cloud.key_file":         text("id_ed25519"),
		"autopkgtest_testbed_image.cloud.name":             text("noble,amd64"),
		"autopkgtest_testbed_image.cloud.novaopts":         text("--flavor m1.small"),
		"autopkgtest_testbed_image.include":                stringSet([]string{"not a package"}),
		"autopkgtest_testbed_image.mirror":                 text("deb.debian.org"),
		"autopkgtest_testbed_image.refresh_every":          text("daily"),
		"autopkgtest_worker.architectures":                 stringSet([]string{"linux-amd64"}),
		"autopkgtest_worker.broker_credentials_file":       text("broker"),
		"autopkgtest_worker.contexts":                      stringSet([]string{"big"}),
		"autopkgtest_worker.drain_timeout":                 text("soon"),
		"autopkgtest_worker.releases":                      stringSet(nil),
		"autopkgtest_worker.slots":                         types.Int64Value(0),
		"autopkgtest_worker.spool_patience":                text("-1h"),
		"autopkgtest_worker.store_credentials_file":        text("store"),
		"autopkgtest_worker.timeout":                       text("8"),
		"autopkgtest_web.architectures":                    stringSet([]string{"linux-amd64"}),
		"autopkgtest_web.broker_credentials_file":          text("broker"),
		"autopkgtest_web.external_url":                     text("ftp://results.example"),
		"autopkgtest_web.listen":                           text("results.example"),
		"autopkgtest_web.operator_credentials_file":        text("operator"),
		"autopkgtest_web.port":                             types.Int64Value(70000),
		"autopkgtest_web.releases":                         stringSet(nil),
		"autopkgtest_web.storage_url":                      text("127.0.0.1/v1"),
	} {
		name, attribute, _ := strings.Cut(where, ".")
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			first, _, _ := strings.Cut(attribute, ".")
			if found := refused(t, all[name][first], attribute, value); !found {
				t.Errorf("%s is accepted", value)
			}
		})
	}
}

// refused asks the validators of an attribute, or of one inside it, about a value. What they say is said of just that place.
func refused(t *testing.T, a schema.Attribute, name string, value attr.Value) bool {
	t.Helper()
	var diags diag.Diagnostics
	words := strings.Split(name, ".")
	where := path.Root(words[0])
	for _, word := range words[1:] {
		nested, ok := a.(schema.SingleNestedAttribute)
		if !ok {
			t.Fatalf("%s is a %T, and has no %s", where, a, word)
		}
		a, where = nested.Attributes[word], where.AtName(word)
	}
	switch a := a.(type) {
	case schema.StringAttribute:
		for _, v := range a.Validators {
			var resp validator.StringResponse
			v.ValidateString(t.Context(), validator.StringRequest{Path: where, ConfigValue: value.(types.String)}, &resp)
			diags.Append(resp.Diagnostics...)
		}
	case schema.Int64Attribute:
		for _, v := range a.Validators {
			var resp validator.Int64Response
			v.ValidateInt64(t.Context(), validator.Int64Request{Path: where, ConfigValue: value.(types.Int64)}, &resp)
			diags.Append(resp.Diagnostics...)
		}
	case schema.SetAttribute:
		for _, v := range a.Validators {
			var resp validator.SetResponse
			v.ValidateSet(t.Context(), validator.SetRequest{Path: where, ConfigValue: value.(types.Set)}, &resp)
			diags.Append(resp.Diagnostics...)
		}
	default:
		t.Fatalf("%s is a %T, which this test does not know", name, a)
	}
	for _, d := range diags.Errors() {
		if at, ok := d.(diag.DiagnosticWithPath); !ok || !strings.HasPrefix(at.Path().String(), where.String()) {
			t.Errorf("%s is said of something else than %s", d.Summary(), where)
		}
	}
	return diags.HasError()
}
