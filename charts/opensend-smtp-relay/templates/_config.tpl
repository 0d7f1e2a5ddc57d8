{{/*
The program's configuration: what the chart decides, and what `config` says. Templates read ports, times and the like from
here, so that they are those of the program.
*/}}

{{/* opensend or standalone. */}}
{{- define "opensend-smtp-relay.pipeline" -}}
{{- if .Values.demo.enabled -}}standalone
{{- else -}}
{{- default "opensend" (coalesce .Values.config.pipeline .Values.pipeline) }}
{{- end }}
{{- end }}

{{- define "opensend-smtp-relay.hasWorker" -}}
{{- if eq (include "opensend-smtp-relay.pipeline" .) "standalone" }}true{{ end }}
{{- end }}

{{/* certManager, existingSecret, none or demo; the demo has a certificate of its own unless another was asked for. */}}
{{- define "opensend-smtp-relay.tlsMode" -}}
{{- $tls := .Values.tls -}}
{{- if and .Values.demo.enabled (eq $tls.mode "certManager") (not $tls.certManager.issuerRef.name) -}}demo
{{- else -}}{{ $tls.mode }}
{{- end }}
{{- end }}

{{/* The name of the Secret with the certificate; empty without TLS. */}}
{{- define "opensend-smtp-relay.tlsSecretName" -}}
{{- $mode := include "opensend-smtp-relay.tlsMode" . -}}
{{- if eq $mode "certManager" -}}
{{- default (include "opensend-smtp-relay.nameOf" (dict "root" . "suffix" "tls")) .Values.tls.certManager.secretName }}
{{- else if eq $mode "existingSecret" -}}{{ .Values.tls.existingSecret }}
{{- else if eq $mode "demo" -}}{{ include "opensend-smtp-relay.nameOf" (dict "root" . "suffix" "demo-tls") }}
{{- end }}
{{- end }}

{{/* How migrations are run. The demo's database comes with the release, so no hook can run before it. */}}
{{- define "opensend-smtp-relay.migrationsMode" -}}
{{- .Values.demo.enabled | ternary "startup" .Values.migrations.mode }}
{{- end }}

{{/* Whether a port of the Service leads to the listener for implicit TLS. */}}
{{- define "opensend-smtp-relay.wantsImplicitTls" -}}
{{- $wanted := .Values.gateway.tlsRoute.enabled -}}
{{- range .Values.service.ports }}{{ if and .enabled (eq .target "smtps") }}{{ $wanted = true }}{{ end }}{{ end -}}
{{- if $wanted }}true{{ end }}
{{- end }}

{{/*
How long connections are still taken after SIGTERM, unless `config.drainDelay` says otherwise: as long as it takes until
the load balancer sends no more. Targets of an NLB by address get new connections for about two minutes.
*/}}
{{- define "opensend-smtp-relay.drainDelay" -}}
{{- eq .Values.service.preset "aws-nlb" | ternary "2m" "10s" }}
{{- end }}

{{/* The configuration as it is mounted, as JSON. */}}
{{- define "opensend-smtp-relay.config" -}}
{{- $own := dict
      "pipeline" (include "opensend-smtp-relay.pipeline" .)
      "drainDelay" (include "opensend-smtp-relay.drainDelay" .)
      "shutdownTimeout" "25s"
      "port" 2587 "httpPort" 8080 "publicPort" 8081
      "migrations" (eq (include "opensend-smtp-relay.migrationsMode" .) "startup" | ternary "auto" "none") -}}
{{- if include "opensend-smtp-relay.tlsSecretName" . -}}
{{- $_ := set $own "tls" (dict "certPath" "/etc/smtp-relay-tls/tls.crt" "keyPath" "/etc/smtp-relay-tls/tls.key") -}}
{{- if include "opensend-smtp-relay.wantsImplicitTls" . -}}
{{- $_ := set $own.tls "implicitPort" 2465 -}}
{{- end -}}
{{- end -}}
{{- $proxies := .Values.gateway.proxyProtocol.networks -}}
{{- if .Values.service.proxyProtocol.enabled -}}
{{- $proxies = concat .Values.service.proxyProtocol.networks $proxies | uniq -}}
{{- end -}}
{{- if $proxies -}}
{{- $_ := set $own "proxyProtocol" (dict "networks" $proxies) -}}
{{- end -}}
{{- $_ := set $own "capture" (dict "directory" "/var/lib/smtp-relay/captured") -}}
{{- if .Values.declared.enabled -}}
{{- $_ := set $own "resources" (dict "directory" "/etc/smtp-relay-resources" "secretsDirectory" "/etc/smtp-relay-secrets") -}}
{{- if .Values.declared.allowEmpty }}{{ $_ := set $own.resources "allowEmpty" true }}{{ end -}}
{{- end -}}
{{- /* Without a token the program answers this pod alone, which kubectl port-forward comes from. */ -}}
{{- if and (default .Values.demo.enabled (.Values.config.inbox | default dict).enabled) (include "opensend-smtp-relay.secretRef" (dict "root" . "secret" "inboxToken") | fromJson).name -}}
{{- $_ := set $own "inbox" (dict "host" "0.0.0.0" "port" 8025) -}}
{{- end -}}
{{- if .Values.demo.enabled -}}
{{- $_ := set $own "transport" "capture" -}}
{{- $_ := set $own "inbox" (mergeOverwrite (dict "enabled" true) ($own.inbox | default dict)) -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy .Values.config) | toJson }}
{{- end }}

{{/* Whether pods and proxies of the cluster can reach the inbox. */}}
{{- define "opensend-smtp-relay.servesInbox" -}}
{{- $inbox := (include "opensend-smtp-relay.config" . | fromJson).inbox | default dict -}}
{{- $isLocal := regexMatch "^(127\\..*|localhost|::1)$" ($inbox.host | default "127.0.0.1") -}}
{{- if and (include "opensend-smtp-relay.hasWorker" .) $inbox.enabled (not $isLocal) }}true{{ end }}
{{- end }}

{{/* Milliseconds of a duration as the program reads it: 500ms, 10s, 5m, 1h. */}}
{{- define "opensend-smtp-relay.milliseconds" -}}
{{- $text := toString . -}}
{{- if hasSuffix "ms" $text -}}{{ trimSuffix "ms" $text | int64 }}
{{- else if hasSuffix "s" $text -}}{{ mul (trimSuffix "s" $text | int64) 1000 }}
{{- else if hasSuffix "m" $text -}}{{ mul (trimSuffix "m" $text | int64) 60000 }}
{{- else if hasSuffix "h" $text -}}{{ mul (trimSuffix "h" $text | int64) 3600000 }}
{{- else -}}{{ fail (printf "%s is not a duration: write a whole number with its unit (ms, s, m or h), such as 10s" $text) }}
{{- end }}
{{- end }}

{{/* Seconds that a pod may take to stop: drain delay, messages under way, and what the program needs besides. */}}
{{- define "opensend-smtp-relay.stopSeconds" -}}
{{- $config := include "opensend-smtp-relay.config" . | fromJson -}}
{{- $drain := include "opensend-smtp-relay.milliseconds" $config.drainDelay | int64 -}}
{{- $finish := include "opensend-smtp-relay.milliseconds" $config.shutdownTimeout | int64 -}}
{{- div (add $drain $finish 5999) 1000 }}
{{- end }}

{{- define "opensend-smtp-relay.gracePeriod" -}}
{{- $own := (get .root.Values .component).terminationGracePeriodSeconds -}}
{{- kindIs "invalid" $own | ternary (include "opensend-smtp-relay.stopSeconds" .root) $own }}
{{- end }}

{{/*
A text that is another one whenever a setting changes that a running program does not take over: then the pods are replaced.
Which settings those are is said by the program (files/settings.json). Called with root and config (a group).
*/}}
{{- define "opensend-smtp-relay.restartChecksum" -}}
{{- $lines := list -}}
{{- range .root.Files.Get "files/settings.json" | fromJsonArray -}}
{{- if not .reloadable -}}
{{- $node := $.config -}}
{{- range splitList "." .name -}}
{{- $node = kindIs "map" $node | ternary (get (kindIs "map" $node | ternary $node dict) .) "" -}}
{{- end -}}
{{- if ne (toString $node) "" -}}
{{- $lines = append $lines (printf "%s=%s" .name (toJson $node)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $secret := .root.Values.secrets -}}
{{- if and $secret.value (has $name (list "smtpPassword" "webhooksSecretKeys" "inboxToken" "databaseUrl" "awsAccessKeyId" "awsSecretAccessKey")) -}}
{{- /* A new login to the same database is taken over. */ -}}
{{- $lines = append $lines (printf "%s=%s" $name (regexReplaceAll "//[^@/]*@" $secret.value "//")) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $lines | sha256sum }}
{{- end }}
