package provider

import (
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestSameObjects: a data source takes the very objects that resources take, or what is read out of them is empty.
func TestSameObjects(t *testing.T) {
	t.Parallel()
	if got := brokerToLookAt(true).GetType(); !got.Equal(brokerAttribute().GetType()) || !got.Equal(types.ObjectType{AttrTypes: brokerTypes}) {
		t.Errorf("the broker of a data source is %s", got)
	}
	if got := storeToLookAt().GetType(); !got.Equal(storeAttribute().GetType()) || !got.Equal(types.ObjectType{AttrTypes: storeTypes}) {
		t.Errorf("the store of a data source is %s", got)
	}
}
