{{/*
How many pods a Deployment asks for, so that no change of the autoscaler ever takes pods away that run, and none begins below its
minimum. Called with root, component and name; the answer may be empty, which is somebody else's number.

A field that leaves a manifest falls back to Kubernetes' default, which is one pod: so what stood in the last manifest has to go on
standing in it. Beside an autoscaler it is the number that runs, which the cluster tells where Helm may ask it. Without one to ask
(`helm template`) it is the number to begin with.

Applied by the server, the field has owners. Once an autoscaler has set it, it is the autoscaler's, and stays when Helm no longer
names it: leaving it out is then the only way not to get in its way.
*/}}
{{- define "opensend-smtp-relay.replicas" -}}
{{- $values := get .root.Values .component -}}
{{- $scaling := $values.autoscaling -}}
{{- $live := lookup "apps/v1" "Deployment" .root.Release.Namespace .name -}}
{{- $running := ($live.spec).replicas | int -}}
{{- if eq $scaling.kind "none" -}}
{{- if include "opensend-smtp-relay.keepsReplicas" . -}}{{ $running }}{{ else }}{{ int $values.replicas }}{{ end }}
{{- else if not $scaling.renderReplicas -}}
{{- else if not $live -}}
{{- max (int $scaling.minReplicas) (min (int $values.replicas) (int $scaling.maxReplicas)) }}
{{- else if not (include "opensend-smtp-relay.replicasAreAutoscalers" $live) -}}
{{- max (int $scaling.minReplicas) $running }}
{{- end }}
{{- end }}

{{/*
Whether the autoscaler that now goes leaves more pods than `replicas`: they stay until the next upgrade. Called with root, component
and name.
*/}}
{{- define "opensend-smtp-relay.keepsReplicas" -}}
{{- $values := get .root.Values .component -}}
{{- $live := lookup "apps/v1" "Deployment" .root.Release.Namespace .name -}}
{{- $scaler := get (($live.metadata).annotations | default dict) "opensend.dev/scaled-by" | default "none" -}}
{{- if and (eq $values.autoscaling.kind "none") (ne $scaler "none") (gt (($live.spec).replicas | int) (int $values.replicas)) -}}true{{- end -}}
{{- end }}

{{/*
Whether the number of pods of a Deployment, as it is in the cluster, belongs to who scales it, and whoever applies the Deployment does
so by the server.
*/}}
{{- define "opensend-smtp-relay.replicasAreAutoscalers" -}}
{{- $applied := "" -}}
{{- $scaled := "" -}}
{{- range .metadata.managedFields -}}
{{- $spec := get (default dict .fieldsV1) "f:spec" | default dict -}}
{{- if and (eq .operation "Apply") (hasKey $spec "f:template") }}{{ $applied = "true" }}{{ end -}}
{{- if and (eq (default "" .subresource) "scale") (hasKey $spec "f:replicas") }}{{ $scaled = "true" }}{{ end -}}
{{- end -}}
{{- if and $applied $scaled }}true{{ end -}}
{{- end }}
