{{/*
A securityContext as the cluster takes it. OpenShift gives each namespace users and groups of its own, and refuses pods that ask for
others. Called with root and context.
*/}}
{{- define "opensend-smtp-relay.securityContext" -}}
{{- $context := .context -}}
{{- if include "opensend-smtp-relay.adaptsToOpenShift" .root }}{{ $context = omit $context "runAsUser" "runAsGroup" "fsGroup" "supplementalGroups" }}{{ end -}}
{{- toYaml $context }}
{{- end }}

{{- define "opensend-smtp-relay.adaptsToOpenShift" -}}
{{- $how := (((.Values.global).compatibility).openshift).adaptSecurityContext | default "auto" -}}
{{- if or (eq $how "force") (and (eq $how "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}true{{ end -}}
{{- end }}
