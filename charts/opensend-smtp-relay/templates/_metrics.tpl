{{/* Finds the pods of relay and worker. */}}
{{- define "opensend-smtp-relay.monitored" -}}
matchLabels:
  app.kubernetes.io/name: {{ include "opensend-smtp-relay.name" . }}
  app.kubernetes.io/instance: {{ .Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values:
      - relay
      - worker
{{- end }}

{{/* How an endpoint is scraped. Called with the values of a monitor. */}}
{{- define "opensend-smtp-relay.scrape" -}}
interval: {{ .interval }}
scrapeTimeout: {{ .scrapeTimeout }}
{{- if .honorLabels }}
honorLabels: true
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
