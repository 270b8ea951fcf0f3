//go:build broken

package greet

// Broken does not compile.
func Broken() int {
	return "text"
}
