package device

// WorkerType is a type of worker, one per kind of device. Its value is what travels on the wire. The zero value is no
// worker type.
type WorkerType string

// The worker types.
const (
	CpuLlm   WorkerType = "CpuLlm"   // Serves a model on [CPU].
	CudaLlm  WorkerType = "CudaLlm"  // Serves a model on [CUDA].
	MetalLlm WorkerType = "MetalLlm" // Serves a model on [Metal].
)

// WorkerType returns the type of worker that serves d, or the zero WorkerType when d is of no known kind, which
// [Parse] never returns.
func (d Device) WorkerType() WorkerType {
	switch d.Kind {
	case CPU:
		return CpuLlm
	case CUDA:
		return CudaLlm
	case Metal:
		return MetalLlm
	}
	return ""
}

// Binary returns the name of the program of a worker of this type, without directory or extension, or "" for an unknown
// type.
func (t WorkerType) Binary() string {
	switch t {
	case CpuLlm:
		return "cpu-llm-worker-rbee"
	case CudaLlm:
		return "cuda-llm-worker-rbee"
	case MetalLlm:
		return "metal-llm-worker-rbee"
	}
	return ""
}

// SupportedOn reports whether workers of this type exist for an operating system, named as in [runtime.GOOS]: CpuLlm for
// all, CudaLlm for Linux and Windows, MetalLlm for macOS, an unknown type for none.
func (t WorkerType) SupportedOn(goos string) bool {
	switch t {
	case CpuLlm:
		return true
	case CudaLlm:
		return goos == "linux" || goos == "windows"
	case MetalLlm:
		return goos == "darwin"
	}
	return false
}
