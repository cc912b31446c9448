package catalog

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// CheckVersion returns an error for a version that no entry can have.
func CheckVersion(version string) error {
	_, err := parseRelease(version)
	return err
}

// AddCommand returns the command that installs a worker in this catalog, for people to complete with the file.
func (c *Catalog) AddCommand(name, version string) string {
	return fmt.Sprintf("rbee-hive catalog add FILE --name %s --version %s --catalog-dir %s", shellWord(name), shellWord(version), c.shellDir())
}

// removeCommand returns the command that removes a version of a worker from this catalog, and its pin with it.
func (c *Catalog) removeCommand(name, version string, pinned bool) string {
	force := ""
	if pinned {
		force = " --force"
	}
	return fmt.Sprintf("rbee-hive catalog rm %s %s%s --catalog-dir %s", shellWord(name), shellWord(version), force, c.shellDir())
}

// pinCommand returns the command that pins a version of a worker in this catalog.
func (c *Catalog) pinCommand(name, version string) string {
	return fmt.Sprintf("rbee-hive catalog pin %s %s --catalog-dir %s", shellWord(name), shellWord(version), c.shellDir())
}

func (c *Catalog) shellDir() string {
	if dir, err := filepath.Abs(c.dir); err == nil {
		return shellWord(dir)
	}
	return shellWord(c.dir)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// shellWord returns text as a shell reads it as one word.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// reinstall says how to have the version of an entry again as it was installed.
func (c *Catalog) reinstall(entry Entry) string {
	pins, _ := c.readPins() // without them, rm says that it is pinned
	pinned := pins[entry.Name] == entry.Version
	text := fmt.Sprintf("remove the version with `%s`, then install it again with `%s`",
		c.removeCommand(entry.Name, entry.Version, pinned), c.AddCommand(entry.Name, entry.Version))
	if pinned {
		text += fmt.Sprintf(" and pin it with `%s`", c.pinCommand(entry.Name, entry.Version))
	}
	return text
}
