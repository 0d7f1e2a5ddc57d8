{{/*
How KEDA logs in to the database: by the URL as it is in its Secret, or by its parts, since KEDA cannot put a password that is kept
apart into a URL. JSON of {connection: {name, key}}, or of {host, port, userName, dbName, sslmode} and maybe {password: {name, key}}.

What a URL that stands in the values says counts before `config.database`, as in the program. What a Secret has nobody can look into
here, so that `config.database` has to say it too.
*/}}
{{- define "opensend-smtp-relay.kedaDatabase" -}}
{{- $config := include "opensend-smtp-relay.config" . | fromJson -}}
{{- $url := include "opensend-smtp-relay.secretRef" (dict "root" . "secret" "databaseUrl") | fromJson -}}
{{- $password := include "opensend-smtp-relay.secretRef" (dict "root" . "secret" "databasePassword") | fromJson -}}
{{- $said := include "opensend-smtp-relay.urlParts" .Values.secrets.databaseUrl.value | fromJson -}}
{{- $settings := default dict $config.database -}}
{{- $isWhole := and $url.name (or .Values.demo.enabled (and (not $password.name) (not $settings.host)) $said.hasPassword) -}}
{{- if $isWhole -}}
{{- dict "connection" $url | toJson }}
{{- else -}}
{{- $host := default $settings.host $said.host -}}
{{- $user := default $settings.user $said.user -}}
{{- $parts := dict
      "host" (include "opensend-smtp-relay.hostForOthers" (dict "root" . "host" $host))
      "port" (coalesce $said.port ($settings.port | int) 5432 | toString)
      "userName" (default "" $user)
      "dbName" (coalesce $said.name $settings.name $user | default "")
      "sslmode" (include "opensend-smtp-relay.kedaSslMode" (dict "said" $said.sslmode "settings" $settings "host" $host)) -}}
{{- with $password.name }}{{ $_ := set $parts "password" $password }}{{ end -}}
{{- toJson $parts }}
{{- end }}
{{- end }}

{{/* The parts of a URL of Postgres, as JSON. */}}
{{- define "opensend-smtp-relay.urlParts" -}}
{{- $parts := dict -}}
{{- with . -}}
{{- $url := urlParse . -}}
{{- $login := splitList ":" $url.userinfo -}}
{{- $authority := regexFind ":[0-9]+$" $url.host -}}
{{- $parts = dict
      "host" $url.hostname
      "port" (trimPrefix ":" $authority)
      "user" (first $login)
      "hasPassword" (gt (len $login) 1)
      "name" (trimPrefix "/" $url.path)
      "sslmode" (regexFind "(^|&)sslmode=[^&]*" $url.query | trimPrefix "&" | trimPrefix "sslmode=") -}}
{{- end -}}
{{- toJson $parts }}
{{- end }}

{{/* A name that is looked up in another namespace, such as KEDA's. Called with root and host. */}}
{{- define "opensend-smtp-relay.hostForOthers" -}}
{{- $host := default "" .host -}}
{{- if or (not $host) (contains "." $host) (contains ":" $host) (hasPrefix "/" $host) -}}{{ $host }}
{{- else -}}{{ printf "%s.%s.svc" $host .root.Release.Namespace }}
{{- end }}
{{- end }}

{{/*
In libpq's meaning, which KEDA's is. It does not have the authority's certificate that the pods have: then its connection is
encrypted, and who answers is not checked.
*/}}
{{- define "opensend-smtp-relay.kedaSslMode" -}}
{{- $mode := coalesce .said .settings.sslMode | default "" -}}
{{- $authority := or .settings.tlsCaFile .settings.sslRootCert -}}
{{- if eq $mode "disable" -}}disable
{{- else if or (eq $mode "no-verify") $authority (and (not $mode) (regexMatch "\\.amazonaws\\.(com|com\\.cn|eu)\\.?$" (default "" .host))) -}}require
{{- else if $mode -}}verify-full
{{- else -}}disable
{{- end }}
{{- end }}
