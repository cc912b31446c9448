package devtree

// What only the tests of this package call.
var (
	SplitNames = splitNames
	ParseStamp = parseStamp
)
