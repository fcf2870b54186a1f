package forward

import (
	"math/big"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// intOf is zero for null.
func intOf(value tftypes.Value) (int, error) {
	var number *big.Float
	if err := value.As(&number); err != nil || number == nil {
		return 0, err
	}
	n, _ := number.Int64()
	return int(n), nil
}
