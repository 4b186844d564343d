package process

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestEveryStepDescribesItselfAndItsExampleIsRight(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("devices.csv", []byte("id,site,model\n1,a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range Steps() {
		if !strings.HasPrefix(k.Example, k.Name+": ") {
			t.Errorf("%s has the example %q", k.Name, k.Example)
		}
		newBench().mustAdd(t, k.Example)
		schema, err := json.Marshal(k.Doc().Schema())
		if err != nil || !strings.Contains(string(schema), `"`+k.Name+`":{`) {
			t.Errorf("%s: schema %s, %v", k.Name, schema, err)
		}
		var page strings.Builder
		if err := k.Doc().Markdown(&page); err != nil || !strings.Contains(page.String(), k.Name) {
			t.Errorf("%s: page %q, %v", k.Name, page.String(), err)
		}
	}
}
