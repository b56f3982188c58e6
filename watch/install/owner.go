package install

// Owner is the dpkg package whose files are to include path, by the database in the directory admin; ""
// when none is, also where there is no database.
func Owner(admin, path string) (pkg string, err error) {
	list, _, err := newDpkgList(admin, path, false).search()
	if err != nil || list == "" {
		return "", err
	}
	return packageOf(list), nil
}

// Diverted is where dpkg installs what packages have as path, and for whom ("" for an administrator);
// "" when it installs that at path.
func Diverted(admin, path string) (to, by string, err error) {
	d := newDpkgList(admin, path, false)
	addAliases(d.aliases, path)
	all, err := readDiversions(d.diversions())
	if err != nil {
		return "", "", err
	}
	for _, one := range all {
		if _, ok := d.aliases[one.from]; ok {
			if by = one.pkg; by == ":" {
				by = ""
			}
			return one.to, by, nil
		}
	}
	return "", "", nil
}
