//go:build wrong

package greet

import "fmt"

// Wrong prints a number as a string: vet says so.
func Wrong() {
	fmt.Printf("%s\n", 1)
}
