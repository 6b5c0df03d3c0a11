module example.org/portal

go 1.23

require golang.org/x/oauth2 v0.0.0

replace golang.org/x/oauth2 => ./oauth2
