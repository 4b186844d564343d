package flowtest

import (
	"os"

	"gopkg.in/yaml.v3"

	"github.com/telluride-stream/telluride/engine/change"
	"github.com/telluride-stream/telluride/engine/conf"
)

// changeStep changes the flow while it runs, or starts it anew.
type changeStep struct {
	place
	params []conf.Pair
	unset  []string
	flow   conf.Text
	path   string // of flow
	live   bool
}

func (f *File) change(n *yaml.Node, at place, live bool) step {
	s := &changeStep{place: at, live: live}
	what := "start"
	if live {
		what = "reload"
	}
	if n != nil && n.Kind == yaml.ScalarNode {
		s.flow = f.name(n, "a flow file")
	} else {
		fields := conf.NewFields(f.scope, n, what)
		s.bind(fields)
		fields.Finish()
		if live && !fields.Failed() && len(s.params)+len(s.unset) == 0 && s.flow.Value == "" {
			f.fail(n, "reload changes nothing", "give params: or flow:")
		}
	}
	if s.flow.Value != "" {
		s.path = f.beside(s.flow.Value)
	}
	return s
}

func (s *changeStep) bind(f *conf.Fields) {
	f.StringMap(&s.params, "params", "Params to set.")
	f.Strings(&s.unset, "unset", nil, "Params that get their defaults again.")
	f.Text(&s.flow, "flow", "", "Another version of the flow file, relative to the folder of this file.")
}

func (s *changeStep) run(r *run) error {
	var src []byte
	if s.path != "" {
		var err error
		if src, err = os.ReadFile(s.path); err != nil {
			return err
		}
	}
	if !s.live {
		set := r.test.Params
		if len(s.params) > 0 {
			set = pairs(s.params)
		}
		file := s.path
		if src == nil {
			file, src = r.test.Flow, r.src
		}
		return r.restarted(r.bench.Restart(file, src, set))
	}
	c := change.Change{Set: pairs(s.params), Unset: s.unset, From: "api"}
	if src != nil {
		// The file of the flow itself was edited.
		c.Source, c.File, c.From = src, r.test.Flow, "file"
	}
	return r.bench.Submit(c)
}
