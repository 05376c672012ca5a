// What ../../main.rs asks of the members of one group, for each client: two members share four partitions and read each record once.
// One leaves, and the other gets its partitions. A new member reads from what was committed.
package members

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// A Member is in the group until it leaves. It tells how many partitions it has, and commits whatever it reads.
type Member struct {
	Counts chan int
	Read   chan<- string
	Leave  func()
}

// Run takes the members' steps. Start starts a member, Produce writes numbers, each to the partition that is its rest by four.
func Run(start func(read chan<- string) Member, produce func(numbers []int)) {
	read := make(chan string, 100)
	first := start(read)
	share([]Member{first}, 4)
	second := start(read)
	share([]Member{first, second}, 2, 2)
	produce(numbers(0, 8))
	expect(read, 8)
	second.Leave()
	share([]Member{first}, 4)
	produce(numbers(8, 16))
	expect(read, 8)
	first.Leave()
	produce(numbers(16, 20))
	third := start(read)
	expect(read, 4)
	third.Leave()
	if len(read) > 0 {
		Check(fmt.Errorf("read once more: %s", <-read))
	}
}

func numbers(from, to int) []int {
	var all []int
	for number := from; number < to; number++ {
		all = append(all, number)
	}
	return all
}

// Waits until the members have so many partitions each.
func share(members []Member, counts ...int) {
	told := "shared"
	for number, count := range counts {
		for has := -1; has != count; {
			select {
			case has = <-members[number].Counts:
			case <-time.After(60 * time.Second):
				Check(fmt.Errorf("member %d has %d partitions, expected %d", number, has, count))
			}
		}
		told += " " + strconv.Itoa(count)
	}
	fmt.Println(told)
}

// Waits until so many records are read, and tells what was read.
func expect(read <-chan string, count int) {
	var values []int
	for len(values) < count {
		select {
		case value := <-read:
			number, err := strconv.Atoi(value)
			Check(err)
			values = append(values, number)
		case <-time.After(60 * time.Second):
			Check(fmt.Errorf("nothing more comes"))
		}
	}
	sort.Ints(values)
	fmt.Println("read", strings.Trim(fmt.Sprint(values), "[]"))
}

// Check ends the program with an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
