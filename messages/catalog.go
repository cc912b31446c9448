package messages

// CatalogRequest asks a hive which workers are installed on its machine. All of it may be left out.
type CatalogRequest struct {
	// Operation is [CatalogList]; [DecodeCatalogRequest] fills it from the subject when it is empty.
	Operation Operation `json:"operation,omitempty" jsonschema:"catalog_list"`
	// HiveID, if given, must be the hive's own.
	HiveID string `json:"hive_id,omitempty" jsonschema:"if given, must be the id of the hive on the subject"`
	// Skip is how many entries are passed over: what [CatalogPage.Next] said. 0 is the first page.
	Skip int `json:"skip,omitempty" jsonschema:"how many entries to pass over; the first page by default"`
}

var catalogFields = []string{"operation", "hive_id", "skip"}

// DecodeCatalogRequest reads and validates a request that arrived on a subject naming op. The error is an [*Error] with the
// code [InvalidJob] or [UnknownOperation] and names the field that is wrong.
func DecodeCatalogRequest(data []byte, op Operation) (CatalogRequest, error) {
	return decodeQuestion[CatalogRequest](data, op, CatalogList, catalogFields)
}

// Encode returns the request as it travels, or an error if it is not valid.
func (r CatalogRequest) Encode() ([]byte, error) { return encodeValid(r) }

// MaxSkip is how many entries of a catalog can be passed over.
const MaxSkip = 1_000_000

// Validate returns an [*Error] with the code [InvalidJob] that names the first field that breaks a rule.
func (r CatalogRequest) Validate() error {
	return firstBroken(
		rule{"operation", checkOwn(r.Operation, CatalogList)},
		rule{"hive_id", optional(r.HiveID, CheckID)},
		rule{"skip", checkRange(int64(r.Skip), MaxSkip)},
	)
}

func (r *CatalogRequest) operation() *Operation { return &r.Operation }

// CatalogEntry is one directory of a hive's catalog that is meant for its machine.
type CatalogEntry struct {
	// Dir is the absolute path of the entry's directory.
	Dir string `json:"dir" jsonschema:"absolute path of the entry's directory"`
	// Problem is why a job does not get the entry; empty if it is sound. Of an entry with a problem, what is not known is
	// left out.
	Problem string `json:"problem,omitempty" jsonschema:"why no job gets the entry; absent if it is sound"`
	// Worker is the name of the worker: what a job gives as worker.
	Worker string `json:"worker,omitempty" jsonschema:"name of the worker: what a job gives as worker"`
	// Version is its version: what a job gives as version.
	Version string `json:"version,omitempty" jsonschema:"its version: what a job gives as version"`
	// OS and Arch are what it is for; an empty Arch means any.
	OS   string `json:"os,omitempty" jsonschema:"operating system that it is for"`
	Arch string `json:"arch,omitempty" jsonschema:"architecture that it is for; absent means any"`
	// BinaryPath is the absolute path of its program.
	BinaryPath string `json:"binary_path,omitempty" jsonschema:"absolute path of its program"`
	// SHA256 is the checksum that its program is compared with before each start; empty means that it is not compared.
	SHA256 string `json:"sha256,omitempty" jsonschema:"checksum that its program is compared with before each start"`
	// Size is the size of its program in bytes.
	Size int64 `json:"size,omitempty" jsonschema:"size of its program in bytes"`
	// Devices are the devices that it can serve; empty means all.
	Devices []string `json:"devices,omitempty" jsonschema:"devices that it can serve; absent means all"`
	// Description is a line for people.
	Description string `json:"description,omitempty" jsonschema:"a line for people"`
	// Manifest says that it has a manifest; else the worker contract says how it is started.
	Manifest bool `json:"manifest" jsonschema:"whether it has a manifest; else the worker contract says how it is started"`
	// Pinned says that its version is pinned: a job that names no version gets it or nothing.
	Pinned bool `json:"pinned" jsonschema:"whether its version is pinned"`
	// Chosen says that a job that names the worker and no version gets it.
	Chosen bool `json:"chosen" jsonschema:"whether a job that names the worker and no version gets it"`
}

// CatalogPage answers a [CatalogRequest]: some of the entries, by worker and then from the highest version down, behind
// them those with a problem.
type CatalogPage struct {
	// HiveID is the hive that answers.
	HiveID string `json:"hive_id" jsonschema:"the hive that answers"`
	// CatalogDir is the directory of its catalog; empty if it has none.
	CatalogDir string `json:"catalog_dir" jsonschema:"directory of its catalog; empty if it has none"`
	// Platform is its machine's operating system and architecture, like "linux/amd64".
	Platform string `json:"platform" jsonschema:"operating system and architecture, like linux/amd64"`
	// Entries are the entries of this page.
	Entries []CatalogEntry `json:"entries" jsonschema:"the entries of this page"`
	// Next is the Skip of the request for the next page; 0 on the last one.
	Next int `json:"next,omitempty" jsonschema:"what to ask for the next page with, as skip; absent on the last page"`
}

// Encode returns the page as it travels.
func (p CatalogPage) Encode() ([]byte, error) {
	if p.Entries == nil {
		p.Entries = []CatalogEntry{}
	}
	return encode(p)
}

// DecodeCatalog reads the answer to a [CatalogRequest]. If the hive answered with a [Failure], the error is its [*Error].
// Fields that this version does not know are passed over.
func DecodeCatalog(data []byte) (CatalogPage, error) {
	return decodeAnswer[CatalogPage](data, "a catalog")
}

func (p CatalogPage) complete() bool   { return p.HiveID != "" && p.Entries != nil }
func (p CatalogPage) ids() CatalogPage { return CatalogPage{HiveID: p.HiveID} }
