// Renders a chart as Helm does: text/template with the functions of sprig and Helm's own.
//
//	render CHART RELEASE VALUES.json    prints every file below templates/ but NOTES.txt and partials
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

func main() {
	if err := render(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(folder, release, given string) error {
	chart, err := read(filepath.Join(folder, "Chart.yaml"))
	if err != nil {
		return err
	}
	values, err := read(filepath.Join(folder, "values.yaml"))
	if err != nil {
		return err
	}
	own := object{}
	if err := json.Unmarshal([]byte(given), &own); err != nil {
		return err
	}
	merge(values, own)
	// Chart's fields have capitals in templates.
	named := object{}
	for key, value := range chart {
		named[strings.ToUpper(key[:1])+key[1:]] = value
	}
	scope := object{
		"Values":  values,
		"Chart":   named,
		"Release": object{"Name": release, "Namespace": "default", "Service": "Helm", "IsInstall": true, "Revision": 1},
	}
	all := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	delete(functions, "env")
	delete(functions, "expandenv")
	functions["include"] = func(name string, data interface{}) (string, error) {
		var text bytes.Buffer
		err := all.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	functions["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return value, errors.New(message)
		}
		return value, nil
	}
	functions["toYaml"] = func(value interface{}) string {
		text, err := yaml.Marshal(value)
		if err != nil {
			return ""
		}
		return strings.TrimSuffix(string(text), "\n")
	}
	all.Funcs(functions)
	files, err := filepath.Glob(filepath.Join(folder, "templates", "*"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := all.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var text bytes.Buffer
		if err := all.ExecuteTemplate(&text, name, scope); err != nil {
			return err
		}
		output := strings.ReplaceAll(text.String(), "<no value>", "")
		if name == "NOTES.txt" {
			fmt.Fprintln(os.Stderr, output)
		} else if strings.TrimSpace(output) != "" {
			fmt.Printf("---\n# Source: %s\n%s\n", name, output)
		}
	}
	return nil
}

func read(file string) (object, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := object{}
	return found, yaml.Unmarshal(text, &found)
}

func merge(into, from object) {
	for key, value := range from {
		inner, isObject := value.(object)
		there, wasObject := into[key].(object)
		if isObject && wasObject {
			merge(there, inner)
		} else {
			into[key] = value
		}
	}
}
