package device

import (
	"slices"
	"strings"
)

// The variables by which CUDA is told which cards a program sees, and how they are numbered.
const (
	EnvOrder   = "CUDA_DEVICE_ORDER"
	EnvVisible = "CUDA_VISIBLE_DEVICES"
	// PCIOrder has CUDA number the cards by their places on the PCI bus, as nvidia-smi does. CUDA's own default puts the
	// fastest first, so that a card that is added may change what every number means.
	PCIOrder = "PCI_BUS_ID"
)

// NamesMIG reports whether a value of [EnvVisible] names a MIG device. CUDA numbers those by their places in it alone.
func NamesMIG(visible string) bool { return strings.Contains(visible, "MIG-") }

// visible returns the cards of which the hive may give out jobs: all, or those that its own [EnvVisible] names, each with
// the number that it has anyway. As for CUDA, the list ends where it names what there is not.
func (f *Finder) visible(cards []Found, report *Report) []Found {
	if f.cfg.Visible == nil {
		return cards
	}
	visible := *f.cfg.Visible
	if NamesMIG(visible) {
		return migDevices(visible, cards)
	}
	var seen []Found
	for entry := range strings.SplitSeq(visible, ",") {
		card, ok := named(strings.TrimSpace(entry), cards)
		if !ok {
			if report.Whole && strings.TrimSpace(visible) != "" && entry != "-1" {
				report.trouble("%s of the hive is %q, and there is no %q: cards from there on are left out", EnvVisible, tidy(visible, 128), tidy(entry, 96))
			}
			break
		}
		if !slices.ContainsFunc(seen, func(f Found) bool { return f.Device == card.Device }) {
			seen = append(seen, card)
		}
	}
	slices.SortFunc(seen, func(a, b Found) int { return a.Index - b.Index })
	return seen
}

// named returns the card that an entry names: by its number, its UUID, or as much of that as tells it from the others.
func named(entry string, cards []Found) (Found, bool) {
	if index, ok := parseIndex(entry); ok {
		at := slices.IndexFunc(cards, func(f Found) bool { return f.Index == index })
		if at < 0 {
			return Found{}, false
		}
		return cards[at], true
	}
	var found []Found
	for _, card := range cards {
		if strings.HasPrefix(entry, "GPU-") && strings.HasPrefix(card.UUID, entry) {
			found = append(found, card)
		}
	}
	if len(found) != 1 {
		return Found{}, false
	}
	return found[0], true
}

// migDevices returns the MIG devices that visible names, numbered as CUDA numbers them: by their places. A program of CUDA
// sees the first alone, so a job gets another by its UUID.
func migDevices(visible string, cards []Found) []Found {
	var devices []Found
	for entry := range strings.SplitSeq(visible, ",") {
		uuid := parseUUID(strings.TrimSpace(entry))
		if uuid == "" || len(devices) > MaxIndex {
			break
		}
		device := Found{Device: Device{Kind: CUDA, Index: len(devices)}, UUID: uuid, MIG: true}
		if len(cards) == 1 {
			device.Name = "MIG device of " + cards[0].Name
		}
		devices = append(devices, device)
	}
	return devices
}
