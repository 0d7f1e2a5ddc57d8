{{/*
Where pods connect to, as their configuration says it: what a NetworkPolicy has to let out.
*/}}

{{/* Names, the database, HTTPS for AWS and webhooks, and whatever ports endpoints name. Called with root and component. */}}
{{- define "opensend-smtp-relay.egress" -}}
{{- $egress := .root.Values.networkPolicy.egress -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
  {{- with $egress.dns }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
- ports:
    {{- range include "opensend-smtp-relay.databasePorts" .root | fromJsonArray }}
    - port: {{ int . }}
      protocol: TCP
    {{- end }}
  {{- with $egress.database }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
- ports:
    {{- range include "opensend-smtp-relay.httpsPorts" . | fromJsonArray }}
    - port: {{ int . }}
      protocol: TCP
    {{- end }}
  {{- with $egress.https }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if $egress.cloudIdentity }}
{{- /* EKS Pod Identity, and the metadata services of AWS, Google Cloud and Azure. */}}
- ports:
    - port: 80
      protocol: TCP
    - port: 988
      protocol: TCP
  to:
    - ipBlock:
        cidr: 169.254.169.254/32
    - ipBlock:
        cidr: 169.254.170.23/32
    - ipBlock:
        cidr: 169.254.169.252/32
{{- end }}
{{- include "opensend-smtp-relay.tracingEgress" .root }}
{{- end }}

{{/* What URLs in the values and `config.database` say; a URL in a Secret nobody can look into here: `databasePort` says it. */}}
{{- define "opensend-smtp-relay.databasePorts" -}}
{{- $ports := list -}}
{{- with .Values.networkPolicy.egress.databasePort }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- $settings := (include "opensend-smtp-relay.config" . | fromJson).database | default dict -}}
{{- $default := $settings.port | default 5432 | int -}}
{{- range list "databaseUrl" "migrationsDatabaseUrl" -}}
{{- $secret := get $.Values.secrets . -}}
{{- if $secret.value -}}
{{- $ports = append $ports ((include "opensend-smtp-relay.urlParts" $secret.value | fromJson).port | default $default | int) -}}
{{- else if or (eq . "databaseUrl") $secret.existingSecret $secret.remoteRef.key -}}
{{- if not $.Values.networkPolicy.egress.databasePort }}{{ $ports = append $ports $default }}{{ end -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toJson }}
{{- end }}

{{/* 443, and the ports of SQS, S3, SES and the like where they are elsewhere. Called with root and component. */}}
{{- define "opensend-smtp-relay.httpsPorts" -}}
{{- $config := include "opensend-smtp-relay.config" .root | fromJson -}}
{{- $urls := list $config.queueUrl $config.sqsEndpoint (($config.originals).s3).endpoint -}}
{{- if eq .component "worker" -}}
{{- $urls = concat $urls (list ($config.ses).endpoint ($config.events).queueUrl) -}}
{{- range include "opensend-smtp-relay.routes" .root | fromJsonArray }}{{ $urls = append $urls (.ses).endpoint }}{{ end -}}
{{- end -}}
{{- range concat .root.Values.extraEnv (get .root.Values .component).extraEnv -}}
{{- if hasPrefix "AWS_ENDPOINT_URL" .name }}{{ $urls = append $urls .value }}{{ end -}}
{{- end -}}
{{- $ports := list 443 -}}
{{- range compact $urls -}}
{{- $url := urlParse . -}}
{{- $named := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $ports = append $ports ($named | default (eq $url.scheme "http" | ternary "80" "443") | int) -}}
{{- end -}}
{{- uniq $ports | toJson }}
{{- end }}

{{- define "opensend-smtp-relay.smarthostPorts" -}}
{{- $config := include "opensend-smtp-relay.config" . | fromJson -}}
{{- $ports := list -}}
{{- if eq (default "ses" $config.transport) "smtp" }}{{ $ports = append $ports (($config.smtp).port | default 587 | int) }}{{ end -}}
{{- range include "opensend-smtp-relay.routes" . | fromJsonArray -}}
{{- if eq (default "" .transport) "smtp" }}{{ $ports = append $ports (coalesce (.smtp).port ($config.smtp).port 587 | int) }}{{ end -}}
{{- end -}}
{{- uniq $ports | toJson }}
{{- end }}

{{/* Routes of the configuration, and declared ones in the values, as a list. */}}
{{- define "opensend-smtp-relay.routes" -}}
{{- $config := include "opensend-smtp-relay.config" . | fromJson -}}
{{- $declared := include "opensend-smtp-relay.routesIn" (list .Values.resources .Values.declared) | fromJsonArray -}}
{{- concat (default list $config.routes) $declared | toJson }}
{{- end }}

{{/* The specs of all Routes in a tree of values. */}}
{{- define "opensend-smtp-relay.routesIn" -}}
{{- $found := list -}}
{{- if kindIs "slice" . -}}
{{- range . }}{{ $found = concat $found (include "opensend-smtp-relay.routesIn" . | fromJsonArray) }}{{ end -}}
{{- else if kindIs "map" . -}}
{{- if and (eq (get . "kind" | toString) "Route") (kindIs "map" (get . "spec")) -}}{{ $found = append $found .spec }}
{{- else -}}
{{- range $key, $value := . }}{{ $found = concat $found (include "opensend-smtp-relay.routesIn" $value | fromJsonArray) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $found }}
{{- end }}
