{{/* What other charts have under another name: each with the name that it has here. Renders nothing. */}}
{{- define "opensend-smtp-relay.validateMoved" }}
{{- $found := list }}
{{- range .Files.Get "files/moved.json" | fromJsonArray }}
{{- $group := $.Values }}
{{- range .group }}{{ $group = get $group . | default dict }}{{ end }}
{{- if hasKey $group .name }}
{{- $path := append .group .name | join "." }}
{{- $prefix := .group | join "." }}
{{- if and .group (not (hasPrefix "nothing" .instead)) (not (hasSuffix "at the top" .instead)) }}{{ $prefix = printf "%s." $prefix }}{{ else }}{{ $prefix = "" }}{{ end }}
{{- $found = append $found (printf "%s is no value of this chart: set %s%s." $path $prefix .instead) }}
{{- end }}
{{- end }}
{{- with $found }}{{ fail (join " " .) }}{{ end }}
{{- end }}
