"""Create, adopt, change and delete Incus's own objects: profiles, projects, networks, pools."""
