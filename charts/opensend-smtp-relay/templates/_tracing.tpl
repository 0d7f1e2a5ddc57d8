{{/*
Where spans go (docs/tracing.md).
*/}}

{{- define "opensend-smtp-relay.tracingEnv" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
{{- $attributes := mergeOverwrite (dict) (deepCopy .resourceAttributes) (dict "k8s.namespace.name" "$(OTEL_NAMESPACE)" "k8s.pod.name" "$(OTEL_POD)") }}
- name: OTEL_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: OTEL_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler }}
{{- if hasSuffix "traceidratio" .sampler }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .ratio | quote }}
{{- end }}
{{- if .headers.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: {secretKeyRef: {name: {{ .headers.existingSecret }}, key: {{ .headers.key }}}}
{{- end }}
{{- $pairs := list }}
{{- range $name, $value := $attributes }}{{ $pairs = append $pairs (printf "%s=%s" $name $value) }}{{ end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," $pairs | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* What a NetworkPolicy has to let out for it: the port that the endpoint names, or that of its scheme. */}}
{{- define "opensend-smtp-relay.tracingEgress" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
{{- $url := urlParse .endpoint }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "https" | ternary "443" "80") }}
- ports:
    - port: {{ int $port }}
      protocol: TCP
  {{- with .networkPolicyTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
