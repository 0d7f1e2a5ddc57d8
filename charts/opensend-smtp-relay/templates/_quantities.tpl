{{/* Bytes of a quantity of Kubernetes, such as 512Mi, 1.5Gi or 1000000; whole, and empty for what is none. */}}
{{- define "opensend-smtp-relay.bytes" -}}
{{- $text := toString . -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 -}}
{{- $number := regexFind "^[0-9.]+(e[+-]?[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- if and $number (hasKey $units $unit) -}}
{{- mulf (float64 $number) (get $units $unit) | floor | int64 }}
{{- end }}
{{- end }}

{{/* Bytes of a size as the program reads it, such as 25MiB or 26214400. */}}
{{- define "opensend-smtp-relay.sizeBytes" -}}
{{- include "opensend-smtp-relay.bytes" (. | toString | trimSuffix "B") }}
{{- end }}

{{/* Seconds of a duration such as 2160h, 1h30m or 45s. */}}
{{- define "opensend-smtp-relay.seconds" -}}
{{- $sum := 0.0 -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h|d)" (toString .) -1 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $sum = addf $sum (mulf (float64 $number) (get $units (trimPrefix $number .))) -}}
{{- end -}}
{{- $sum }}
{{- end }}

{{/* How many pods a number or a percentage of them is. Called with of (the number of pods), value, and up (whether parts count whole). */}}
{{- define "opensend-smtp-relay.podsOf" -}}
{{- if kindIs "string" .value -}}
{{- $share := mulf (trimSuffix "%" .value | float64) (float64 .of) -}}
{{- .up | ternary (divf $share 100 | ceil) (divf $share 100 | floor) | int }}
{{- else -}}{{ int .value }}
{{- end }}
{{- end }}
