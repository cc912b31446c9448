package messages

// ServiceName is the name under which every hive is found as a NATS service: nats micro info rbee-hive.
const ServiceName = "rbee-hive"

// MetaMadeBy is the key in the metadata of a hive's consumer of the queue that says, by [ServiceName], that the hive may change it.
const MetaMadeBy = "made_by"

// The keys of a hive's service metadata.
const (
	// MetaHiveID is the hive's id; the service's own id is random.
	MetaHiveID = "hive_id"
	// MetaPlatform is the hive's operating system and architecture, like "linux/amd64".
	MetaPlatform = "platform"
	// MetaVersion is the hive's version; the service's own must be a semantic one.
	MetaVersion = "version"
	// MetaPrefix is what the hive's subjects begin with, [Subjects.Prefix].
	MetaPrefix = "prefix"
	// MetaHost is the name of the hive's machine, by which two machines with one id are told apart.
	MetaHost = "host"
	// MetaRunDir is a word for the hive's run directory, by which two hives with one id are told from two processes of one.
	MetaRunDir = "run_dir"
	// MetaDevices is what the hive's machine had when it started, as [DevicesText] writes it.
	MetaDevices = "devices"
)
