package devstack

import (
	"errors"

	"github.com/rbee-keeper/hive/spawner"
)

// PortRange is a range of workers' ports, and the value of a flag. The zero value means 9001 to 9999.
type PortRange struct{ spawner.PortRange }

// Ports returns the range from first to last, both included.
func Ports(first, last int) PortRange {
	return PortRange{spawner.PortRange{First: first, Last: last}}
}

// Set reads "FIRST-LAST" or a single port.
func (p *PortRange) Set(text string) error {
	ports, err := spawner.ParsePortRange(text)
	if err != nil {
		return errors.New("want FIRST-LAST with ports from 1 to 65535, such as 9001-9999")
	}
	p.PortRange = ports
	return nil
}

// Type returns what --help shows for the value.
func (p *PortRange) Type() string { return "first-last" }
