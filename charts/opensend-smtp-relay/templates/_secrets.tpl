{{/*
Secrets. Each comes from a Secret that exists, from a value (the chart makes a Secret), or from an external store by the
External Secrets operator. Pods get those that they need as files, in one folder; the AWS SDK reads its own from the
environment.
*/}}

{{/* Name in `secrets` -> the program's variable. */}}
{{- define "opensend-smtp-relay.secretVariables" -}}
databaseUrl: DATABASE_URL
migrationsDatabaseUrl: MIGRATIONS_DATABASE_URL
databasePassword: PGPASSWORD
smtpPassword: SMTP_RELAY_SMTP_PASSWORD
trackingSecrets: TRACKING_SECRET
webhooksSecretKeys: SMTP_RELAY_WEBHOOKS_SECRET_KEYS
inboxToken: SMTP_RELAY_INBOX_TOKEN
awsAccessKeyId: AWS_ACCESS_KEY_ID
awsSecretAccessKey: AWS_SECRET_ACCESS_KEY
{{- end }}

{{/* Which secrets a component is given: no more than it needs. */}}
{{- define "opensend-smtp-relay.secretsOf" -}}
{{- $all := dict
      "relay" (list "databaseUrl" "migrationsDatabaseUrl" "databasePassword" "awsAccessKeyId" "awsSecretAccessKey")
      "worker" (list "databaseUrl" "migrationsDatabaseUrl" "databasePassword" "smtpPassword" "trackingSecrets" "webhooksSecretKeys" "inboxToken" "awsAccessKeyId" "awsSecretAccessKey")
      "migrate" (list "databaseUrl" "migrationsDatabaseUrl" "databasePassword") -}}
{{- get $all . | toJson }}
{{- end }}

{{/*
Where a secret is: {name, key} of a Secret, or nothing. Called with root, secret (its name in `secrets`), and maybe hook:
the Secrets that this chart makes do not exist yet when a hook runs before the installation, so a hook has its own.
*/}}
{{- define "opensend-smtp-relay.secretRef" -}}
{{- $values := get .root.Values.secrets .secret -}}
{{- $variable := get (include "opensend-smtp-relay.secretVariables" .root | fromYaml) .secret -}}
{{- $made := include "opensend-smtp-relay.fullname" .root -}}
{{- $external := include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" "external") -}}
{{- if .hook -}}
{{- $made = include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" "migrate") -}}
{{- $external = include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" "migrate-external") -}}
{{- end -}}
{{- if and .root.Values.demo.enabled (eq .secret "databaseUrl") -}}
{{- dict "name" (include "opensend-smtp-relay.nameOf" (dict "root" .root "suffix" "demo")) "key" $variable | toJson }}
{{- else if $values.existingSecret -}}
{{- dict "name" $values.existingSecret "key" (default $variable $values.key) | toJson }}
{{- else if $values.value -}}
{{- dict "name" $made "key" $variable | toJson }}
{{- else if $values.remoteRef.key -}}
{{- dict "name" $external "key" $variable | toJson }}
{{- else -}}
{}
{{- end }}
{{- end }}

{{/* The sources of the volume with secret files. Called with root, component, and maybe hook. */}}
{{- define "opensend-smtp-relay.secretSources" -}}
{{- $variables := include "opensend-smtp-relay.secretVariables" .root | fromYaml -}}
{{- $names := include "opensend-smtp-relay.secretsOf" .component | fromJsonArray }}
{{- /* Any pod may bring declared webhooks about, whose signing secrets are stored encrypted. */}}
{{- if and (eq .component "relay") .root.Values.declared.enabled }}
{{- $names = append $names "webhooksSecretKeys" }}
{{- end }}
{{- range $names }}
{{- if not (hasPrefix "aws" .) }}
{{- $ref := include "opensend-smtp-relay.secretRef" (dict "root" $.root "secret" . "hook" $.hook) | fromJson }}
{{- if $ref.name }}
- secret:
    name: {{ $ref.name }}
    {{- /* Whoever has to make it is told by the program, at once, rather than by a job that hangs until its deadline. */}}
    {{- if and $.hook (get $.root.Values.secrets .).existingSecret }}
    optional: true
    {{- end }}
    items:
      - key: {{ $ref.key }}
        path: {{ get $variables . }}
{{- end }}
{{- end }}
{{- end }}
{{- range ternary (list) .root.Values.secretFiles (eq .component "migrate") }}
- secret:
    name: {{ .existingSecret }}
    items:
      - key: {{ .key }}
        path: {{ .path }}
{{- end }}
{{- end }}

{{/* What the AWS SDK reads from the environment. Called with root and component. */}}
{{- define "opensend-smtp-relay.secretEnv" -}}
{{- $variables := include "opensend-smtp-relay.secretVariables" .root | fromYaml -}}
{{- range include "opensend-smtp-relay.secretsOf" .component | fromJsonArray }}
{{- if hasPrefix "aws" . }}
{{- $ref := include "opensend-smtp-relay.secretRef" (dict "root" $.root "secret" .) | fromJson }}
{{- if $ref.name }}
- name: {{ get $variables . }}
  valueFrom:
    secretKeyRef:
      name: {{ $ref.name }}
      key: {{ $ref.key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether any secret of a component comes as a value (`value`) or from a store (`remoteRef`). */}}
{{- define "opensend-smtp-relay.hasSecretsBy" -}}
{{- $found := "" -}}
{{- range .names -}}
{{- $values := get $.root.Values.secrets . -}}
{{- if and (not $values.existingSecret) (eq $.way "value") $values.value }}{{ $found = "true" }}{{ end -}}
{{- if and (not $values.existingSecret) (not $values.value) (eq $.way "remoteRef") $values.remoteRef.key }}{{ $found = "true" }}{{ end -}}
{{- end -}}
{{- $found }}
{{- end }}

{{/* A Secret with the values of these names. Called with root, names, and metadata as text. */}}
{{- define "opensend-smtp-relay.secret" -}}
{{- $variables := include "opensend-smtp-relay.secretVariables" .root | fromYaml -}}
apiVersion: v1
kind: Secret
metadata:
  {{- .metadata | nindent 2 }}
type: Opaque
data:
  {{- range .names }}
  {{- $values := get $.root.Values.secrets . }}
  {{- if and $values.value (not $values.existingSecret) }}
  {{ get $variables . }}: {{ $values.value | b64enc }}
  {{- end }}
  {{- end }}
{{- end }}

{{/* An ExternalSecret for those of these names that come from a store. Called with root, names, target, and metadata. */}}
{{- define "opensend-smtp-relay.externalSecret" -}}
{{- $variables := include "opensend-smtp-relay.secretVariables" .root | fromYaml -}}
{{- $external := .root.Values.externalSecrets -}}
apiVersion: {{ $external.apiVersion }}
kind: ExternalSecret
metadata:
  {{- .metadata | nindent 2 }}
spec:
  refreshInterval: {{ $external.refreshInterval }}
  secretStoreRef:
    name: {{ $external.store.name }}
    kind: {{ $external.store.kind }}
  target:
    name: {{ .target }}
    creationPolicy: Owner
    deletionPolicy: Retain
  data:
    {{- range .names }}
    {{- $values := get $.root.Values.secrets . }}
    {{- if and $values.remoteRef.key (not $values.existingSecret) (not $values.value) }}
    - secretKey: {{ get $variables . }}
      remoteRef:
        key: {{ $values.remoteRef.key | quote }}
        {{- with $values.remoteRef.property }}
        property: {{ . | quote }}
        {{- end }}
        {{- with $values.remoteRef.version }}
        version: {{ . | quote }}
        {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
