package main

import (
	"os"
	"strings"
	"testing"
)

const someExpat = `The Licence of somebody

Copyright (c) 2019 Somebody
Copyright © 2020 Somebody Else. All rights reserved.

Permission is hereby granted, free of charge, to any person obtaining a copy, to deal
without restriction.

THE SOFTWARE IS PROVIDED "AS IS".
`

func TestIdentify(t *testing.T) {
	bsd := "Copyright 2009 X\n\nRedistribution and use in source and binary forms is permitted:\n\n   * binary form must reproduce it\n   * Neither the name of X\n\nTHIS SOFTWARE IS PROVIDED AS IS\n"
	for text, want := range map[string]string{
		someExpat: expat,
		bsd:       bsd3,
		strings.Replace(bsd, "   * Neither the name of X\n", "", 1):                                bsd2,
		"Apache License\nVersion 2.0, January 2004\n 3. Grant of Patent License.\n":                apache,
		"GNU GENERAL PUBLIC LICENSE\n":                                                             "",
		"Apache License\nVersion 1.1\n":                                                            "",
		"Permission is hereby granted, free of charge, to look at this and do nothing else at all": "",
	} {
		if kind, _ := identify(text); kind != want {
			t.Errorf("%q: %q, want %q", text, kind, want)
		}
	}
	if ours, err := os.ReadFile("../../LICENSE"); err != nil {
		t.Error(err)
	} else if kind, _ := identify(string(ours)); kind != expat {
		t.Errorf("relinkd's own: %q", kind)
	}
}

func TestDocument(t *testing.T) {
	kind, body := identify(someExpat)
	one := part{name: "x/one", kind: kind, body: body, holders: holders(someExpat)}
	two := part{name: "x/two", kind: kind, body: strings.ReplaceAll(body, "AS IS", "as is"), holders: []string{"Two"}}
	three := part{name: "x/three", kind: apache, notice: "Three\n\nBe told", holders: []string{"Three"}}
	text := document(one, []part{one, two, three})
	for _, want := range []string{
		"\nFiles: *\nCopyright: 2019 Somebody\n 2020 Somebody Else.\nLicense: Expat\n",
		"\nFiles: vendor/x/one/*\nCopyright: 2019 Somebody\n 2020 Somebody Else.\nLicense: Expat\n",
		"\nFiles: vendor/x/two/*\nCopyright: Two\nLicense: Expat-2\n",
		"\nLicense: Apache-2.0\nComment: It comes with this notice:\n Three\n .\n Be told\n",
		"\nLicense: Expat\n Permission is hereby granted, free of charge, to any person obtaining a\n copy, to deal without restriction.\n .\n THE SOFTWARE IS PROVIDED \"AS IS\".\n",
		"\nLicense: Expat-2\n Permission",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing:\n%s\nin:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\nLicense: Expat\n Permission"); n != 1 {
		t.Errorf("one text is there %d times", n)
	}
}

// Nothing is guessed.
func TestReadRefusesTheUnknown(t *testing.T) {
	dir := t.TempDir()
	if _, err := read(dir, "nothing"); err == nil {
		t.Error("a part without a licence passed")
	}
	if err := os.WriteFile(dir+"/LICENSE", []byte("Copyright 2020 X\nAll is forbidden.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(dir, "strange"); err == nil || !strings.Contains(err.Error(), "nobody has taught") {
		t.Errorf("an unknown licence: %v", err)
	}
}
