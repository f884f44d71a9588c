// Judge reads saved histories and says of each whether its streams are linearizable: a second opinion, by another algorithm
// and another hand, beside the checker in eventkernel.testing.history.
//
// Every stream is modelled as an append-only log. An append may name the version that the stream must be at; a command that
// is in the log already gets its first version again; a read shows the log's length and its last events. Porcupine searches
// for an order of the calls that explains all answers.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

const searchTime = 60 * time.Second

// fact is one line of a file.
type fact struct {
	Kind      string   `json:"kind"`
	Operation string   `json:"operation"`
	Stream    string   `json:"stream"`
	EventID   string   `json:"event_id"`
	CalledAt  int64    `json:"called_at"`
	Expected  *int     `json:"expected"`
	AtLeast   *int     `json:"at_least"`
	At        int64    `json:"at"`
	Outcome   string   `json:"outcome"`
	Reason    string   `json:"reason"`
	Version   int      `json:"version"`
	EventIDs  []string `json:"event_ids"`
}

// call is what a client asked, answer what it was told. The last read of every stream is the journal itself.
type call struct {
	read     bool
	eventID  string
	expected *int
}

type answer struct {
	outcome string
	reason  string
	version int
	events  []string
}

// state is a log; links are shared, so that a state costs one link.
type state struct {
	length int
	last   *link
}

type link struct {
	eventID string
	before  *link
}

func (s state) versionOf(eventID string) int {
	for version, l := s.length, s.last; l != nil; version, l = version-1, l.before {
		if l.eventID == eventID {
			return version
		}
	}
	return 0
}

func (s state) endsWith(events []string) bool {
	l := s.last
	for i := len(events) - 1; i >= 0; i-- {
		if l == nil || l.eventID != events[i] {
			return false
		}
		l = l.before
	}
	return true
}

func equal(a, b state) bool {
	if a.length != b.length {
		return false
	}
	for x, y := a.last, b.last; x != y; x, y = x.before, y.before {
		if x.eventID != y.eventID {
			return false
		}
	}
	return true
}

// step says whether a log may have answered so, and what the log is after it.
func step(s state, c call, a answer) (bool, state) {
	if c.read {
		return a.version == s.length && s.endsWith(a.events), s
	}
	known := s.versionOf(c.eventID)
	switch a.outcome {
	case "ok":
		if known > 0 {
			return a.version == known, s
		}
		fits := c.expected == nil || *c.expected == s.length
		return fits && a.version == s.length+1, state{s.length + 1, &link{c.eventID, s.last}}
	case "refused":
		if a.reason == "busy" {
			return true, s
		}
		falseConflict := a.reason == "conflict" && c.expected != nil && *c.expected == s.length
		return known == 0 && !falseConflict, s
	default: // unknown, and known from the journal to have taken effect at some time
		if known > 0 {
			return true, s
		}
		return c.expected == nil || *c.expected == s.length, state{s.length + 1, &link{c.eventID, s.last}}
	}
}

var model = porcupine.Model{
	Init: func() interface{} { return state{} },
	Step: func(s, input, output interface{}) (bool, interface{}) {
		ok, next := step(s.(state), input.(call), output.(answer))
		return ok, next
	},
	Equal: func(a, b interface{}) bool { return equal(a.(state), b.(state)) },
	DescribeOperation: func(input, output interface{}) string {
		return fmt.Sprintf("%+v -> %+v", input, output)
	},
}

// load gives the operations of each stream that a file tells of.
func load(path string) (map[string][]porcupine.Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	calls := map[string]fact{}
	answers := map[string]fact{}
	journal := map[string][]fact{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var f fact
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return nil, err
		}
		switch f.Kind {
		case "write", "read":
			calls[f.Operation] = f
		case "returned":
			answers[f.Operation] = f
		case "journal":
			journal[f.Stream] = append(journal[f.Stream], f)
		}
	}
	return operations(calls, answers, journal), lines.Err()
}

func operations(calls, answers map[string]fact, journal map[string][]fact) map[string][]porcupine.Operation {
	present := map[string]bool{}
	found := map[string][]porcupine.Operation{}
	for _, asked := range calls {
		if _, there := journal[asked.Stream]; !there {
			journal[asked.Stream] = nil
		}
	}
	for stream, events := range journal {
		sort.Slice(events, func(i, j int) bool { return events[i].Version < events[j].Version })
		ids := []string{}
		for _, event := range events {
			present[stream+" "+event.EventID] = true
			ids = append(ids, event.EventID)
		}
		// After everything that was ever answered; what was never answered took effect before it or not at all.
		last := porcupine.Operation{Input: call{read: true}, Call: math.MaxInt64 - 1, Output: answer{version: len(ids), events: ids}, Return: math.MaxInt64}
		found[stream] = append(found[stream], last)
	}
	for name, asked := range calls {
		told, answered := answers[name]
		if !answered {
			told = fact{Outcome: "unknown"}
		}
		if asked.Kind == "read" && (told.Outcome != "ok" || asked.AtLeast != nil) {
			continue // it says nothing, or was not asked to be current
		}
		until := told.At
		if told.Outcome == "unknown" {
			if !present[asked.Stream+" "+asked.EventID] {
				continue // it took no effect
			}
			until = math.MaxInt64 - 2
		}
		found[asked.Stream] = append(found[asked.Stream], porcupine.Operation{
			Input:  call{asked.Kind == "read", asked.EventID, asked.Expected},
			Call:   asked.CalledAt,
			Output: answer{told.Outcome, told.Reason, told.Version, told.EventIDs},
			Return: until,
		})
	}
	return found
}

func main() {
	status := 0
	for _, path := range os.Args[1:] {
		streams, err := load(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, path, err)
			os.Exit(2)
		}
		bad := []string{}
		for stream, operations := range streams {
			switch porcupine.CheckOperationsTimeout(model, operations, searchTime) {
			case porcupine.Illegal:
				bad = append(bad, stream)
			case porcupine.Unknown:
				bad = append(bad, stream+" (gave up)")
			}
		}
		sort.Strings(bad)
		told, _ := json.Marshal(map[string]interface{}{"file": path, "streams": len(streams), "not_linearizable": bad})
		fmt.Println(string(told))
		if len(bad) > 0 {
			status = 1
		}
	}
	os.Exit(status)
}
