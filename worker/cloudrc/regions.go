package cloudrc

import (
	"maps"
	"slices"
	"strings"
)

// Regions are clouds by the names of their regions.
type Regions map[string]Cloud

// Join makes one map of what several sources say. Each has to name its region, and no two the same.
func Join(clouds ...Cloud) (Regions, error) {
	regions := Regions{}
	for _, c := range clouds {
		if c.Region == "" {
			return nil, &Problem{
				Source: c.Source, kind: ErrInvalid, Cause: "it names no region",
				WayOut: "write it, as export OS_REGION_NAME=... or region_name: ...; the dashboard shows the name at the top, and " +
					"«openstack region list» tells it",
			}
		}
		if other, there := regions[c.Region]; there {
			return nil, &Problem{
				Source: c.Source, kind: ErrInvalid, Cause: "it names the region " + c.Region + ", and so does " + other.Source,
				WayOut: "leave one of them out, or correct its region",
			}
		}
		regions[c.Region] = c
	}
	return regions, nil
}

// Names are the regions in order.
func (r Regions) Names() []string { return slices.Sorted(maps.Keys(r)) }

// Cloud returns a region's, or a Problem that is ErrUnknown and names those that there are.
func (r Regions) Cloud(region string) (Cloud, error) {
	if c, there := r[region]; there {
		return c, nil
	}
	if len(r) == 0 {
		return Cloud{}, &Problem{
			Source: "region " + region, kind: ErrUnknown, Cause: "there is none at all", WayOut: "name a source that says how to reach it",
		}
	}
	var sources []string
	for _, name := range r.Names() {
		if source := r[name].Source; !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	return Cloud{}, &Problem{
		Source: strings.Join(sources, ", "), kind: ErrUnknown, Cause: "there is no region " + region,
		WayOut: "the regions are " + strings.Join(r.Names(), ", ") + ", and capitals count",
	}
}
