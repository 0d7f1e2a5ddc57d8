{{/*
Values of relay and worker that are right each on its own, but that Kubernetes refuses together, or that would do harm. Renders nothing.
*/}}
{{- define "opensend-smtp-relay.validatePods" }}
{{- $root := . }}
{{- $config := include "opensend-smtp-relay.config" . | fromJson }}
{{- $worker := include "opensend-smtp-relay.hasWorker" . }}
{{- range $component := ternary (list "relay" "worker") (list "relay") (eq $worker "true") }}
{{- $values := get $root.Values $component }}
{{- $least := include "opensend-smtp-relay.minReplicas" (dict "root" $root "component" $component) | int }}

{{- /* Budgets. */}}
{{- $budget := $values.podDisruptionBudget }}
{{- if and $budget.enabled (gt $least 1) }}
{{- if not (kindIs "invalid" $budget.minAvailable) }}
{{- if ge (include "opensend-smtp-relay.podsOf" (dict "of" $least "value" $budget.minAvailable "up" true) | int) $least }}
{{- fail (printf "%s.podDisruptionBudget.minAvailable is %v, and there may be %d pods only: no node could ever be drained. Set it to %d or less, or to null, so that maxUnavailable counts." $component $budget.minAvailable $least (sub $least 1 | int)) }}
{{- end }}
{{- else if kindIs "invalid" $budget.maxUnavailable }}
{{- fail (printf "%s.podDisruptionBudget has neither minAvailable nor maxUnavailable: set maxUnavailable to 1, or enabled to false." $component) }}
{{- else if eq (include "opensend-smtp-relay.podsOf" (dict "of" $least "value" $budget.maxUnavailable "up" true) | int) 0 }}
{{- fail (printf "%s.podDisruptionBudget.maxUnavailable is %v: no node could ever be drained. Set it to 1 or more, or podDisruptionBudget.enabled to false." $component $budget.maxUnavailable) }}
{{- end }}
{{- end }}

{{- /* Rolling. */}}
{{- $rolling := $values.updateStrategy.rollingUpdate }}
{{- if and (ne (default "RollingUpdate" $values.updateStrategy.type) "Recreate") $rolling }}
{{- $away := $rolling.maxUnavailable }}
{{- $more := $rolling.maxSurge }}
{{- if and (has (toString $away) (list "0" "0%")) (has (toString $more) (list "0" "0%")) }}
{{- fail (printf "%s.updateStrategy.rollingUpdate has neither a pod more nor one less at any time, so that none could be replaced: set maxSurge to 1." $component) }}
{{- end }}
{{- end }}
{{- if ge (int $values.minReadySeconds) (int $values.progressDeadlineSeconds) }}
{{- fail (printf "%s.minReadySeconds (%d) is not below progressDeadlineSeconds (%d), so that no upgrade could succeed: raise progressDeadlineSeconds." $component (int $values.minReadySeconds) (int $values.progressDeadlineSeconds)) }}
{{- end }}
{{- range $probe := list "startupProbe" "livenessProbe" }}
{{- if gt (get (get $values $probe) "successThreshold" | default 1 | int) 1 }}
{{- fail (printf "%s.%s.successThreshold has to be 1: leave it out." $component $probe) }}
{{- end }}
{{- end }}

{{- /* What a pod asks for. */}}
{{- $limits := ($values.resources).limits | default dict }}
{{- $requests := ($values.resources).requests | default dict }}
{{- $held := eq $component "relay" | ternary ((($config.limits).bytesInFlight) | default "256MiB") ((($config.worker).bytesInFlight) | default "32MiB") }}
{{- $setting := eq $component "relay" | ternary "config.limits.bytesInFlight" "config.worker.bytesInFlight" }}
{{- $need := add 200000000 (include "opensend-smtp-relay.sizeBytes" $held | int64) }}
{{- if and $limits.memory (lt (include "opensend-smtp-relay.bytes" $limits.memory | int64) $need) }}
{{- fail (printf "%s.resources.limits.memory is %v, but a pod needs 200 MB and holds up to %v of messages (%s): it would be killed under load, and its clients with it. Set the limit to %dMi or more, or lower %s." $component $limits.memory $held $setting (div (add $need 1048575) 1048576) $setting) }}
{{- end }}
{{- range $name, $asked := $requests }}
{{- $most := get $limits $name }}
{{- $of := eq $name "cpu" | ternary "opensend-smtp-relay.milliCpu" "opensend-smtp-relay.bytes" }}
{{- if and $most (gt (include $of $asked | int64) (include $of $most | int64)) }}
{{- fail (printf "%s.resources.requests.%s (%v) is more than limits.%s (%v): raise the limit, or ask for less." $component $name $asked $name $most) }}
{{- end }}
{{- end }}
{{- $storage := get $limits "ephemeral-storage" }}
{{- if $storage }}
{{- $volumes := include "opensend-smtp-relay.bytes" $root.Values.tmp.sizeLimit | int64 }}
{{- $names := "tmp.sizeLimit" }}
{{- if and (eq $component "worker") ($root.Values.capture.volume.emptyDir).sizeLimit }}
{{- $volumes = add $volumes (include "opensend-smtp-relay.bytes" $root.Values.capture.volume.emptyDir.sizeLimit | int64) }}
{{- $names = "tmp.sizeLimit and capture.volume.emptyDir.sizeLimit" }}
{{- end }}
{{- if lt (include "opensend-smtp-relay.bytes" $storage | int64) $volumes }}
{{- fail (printf "%s.resources.limits.ephemeral-storage (%v) is less than %s: the pod would be evicted before its volumes are full. Raise it, or lower those." $component $storage $names) }}
{{- end }}
{{- end }}

{{- /* Who it runs as. */}}
{{- $own := $values.securityContext }}
{{- $user := $own.runAsUser }}
{{- if kindIs "invalid" $user }}{{ $user = $values.podSecurityContext.runAsUser }}{{ end }}
{{- $nonRoot := $own.runAsNonRoot }}
{{- if kindIs "invalid" $nonRoot }}{{ $nonRoot = $values.podSecurityContext.runAsNonRoot }}{{ end }}
{{- if and $nonRoot (not (kindIs "invalid" $user)) (eq (int $user) 0) }}
{{- fail (printf "%s.podSecurityContext has runAsNonRoot, and runAsUser is 0, which is root, so that no pod would start: set runAsUser to 1000, or leave it to the image by null." $component) }}
{{- end }}
{{- if and (eq (toString $own.allowPrivilegeEscalation) "false") (or $own.privileged (has "SYS_ADMIN" (($own.capabilities).add | default list)) (has "CAP_SYS_ADMIN" (($own.capabilities).add | default list))) }}
{{- fail (printf "%s.securityContext asks for privileges and has allowPrivilegeEscalation false, which Kubernetes refuses together: leave the privileges out, since the program needs none." $component) }}
{{- end }}
{{- if and (eq (default "" $values.dnsPolicy) "None") (not ($values.dnsConfig).nameservers) }}
{{- fail (printf "%s.dnsPolicy is None: set %s.dnsConfig.nameservers to the addresses that names are asked of." $component $component) }}
{{- end }}

{{- /* KEDA. */}}
{{- $scaling := $values.autoscaling }}
{{- if and (eq $scaling.kind "keda") $scaling.keda.fallback }}
{{- if or (kindIs "invalid" $scaling.keda.fallback.failureThreshold) (kindIs "invalid" $scaling.keda.fallback.replicas) }}
{{- fail (printf "%s.autoscaling.keda.fallback needs both failureThreshold and replicas, such as {failureThreshold: 3, replicas: 2}." $component) }}
{{- end }}
{{- if gt (int $scaling.keda.fallback.replicas) (int $scaling.maxReplicas) }}
{{- fail (printf "%s.autoscaling.keda.fallback.replicas (%d) is more than maxReplicas (%d)." $component (int $scaling.keda.fallback.replicas) (int $scaling.maxReplicas)) }}
{{- end }}
{{- end }}

{{- /* What is added, beside what the chart has. */}}
{{- $taken := list "SMTP_RELAY_CONFIG" "SMTP_RELAY_SECRETS_DIR" }}
{{- range concat $root.Values.extraEnv $values.extraEnv }}
{{- if has .name $taken }}
{{- fail (printf "extraEnv or %s.extraEnv has %s, which is there already: leave it out." $component .name) }}
{{- end }}
{{- if and (hasKey . "value") (hasKey . "valueFrom") }}
{{- fail (printf "extraEnv: %s has both value and valueFrom: set one of them." .name) }}
{{- end }}
{{- $taken = append $taken .name }}
{{- end }}
{{- $volumes := list "config" "secrets" "tls" "declared" "declared-files" "captured" "tmp" }}
{{- range until (len $root.Values.declared.existingConfigMaps) }}{{ $volumes = append $volumes (printf "declared-by-others-%d" .) }}{{ end }}
{{- range concat $root.Values.extraVolumes $values.extraVolumes }}
{{- if has .name $volumes }}
{{- fail (printf "extraVolumes or %s.extraVolumes has a volume named %s, which is there already: choose another name." $component .name) }}
{{- end }}
{{- $volumes = append $volumes .name }}
{{- end }}
{{- $paths := list }}
{{- range include "opensend-smtp-relay.ownMounts" (dict "root" $root "component" $component) | fromYamlArray }}{{ $paths = append $paths .mountPath }}{{ end }}
{{- range concat $root.Values.extraVolumeMounts $values.extraVolumeMounts }}
{{- if and (not (contains "{{" .name)) (not (has .name $volumes)) (not (contains "{{" (join "" $volumes))) }}
{{- fail (printf "extraVolumeMounts or %s.extraVolumeMounts mounts %s, which is no volume: add it to extraVolumes." $component .name) }}
{{- end }}
{{- $path := trimSuffix "/" .mountPath }}
{{- if has $path $paths }}
{{- fail (printf "extraVolumeMounts or %s.extraVolumeMounts mounts something at %s, where there is something already: choose another mountPath." $component $path) }}
{{- end }}
{{- $paths = append $paths $path }}
{{- end }}
{{- $containers := list $component "migrate" }}
{{- range concat $values.extraContainers $values.extraInitContainers }}
{{- if has .name $containers }}
{{- fail (printf "%s.extraContainers or extraInitContainers has a container named %s, which is there already: choose another name." $component .name) }}
{{- end }}
{{- $containers = append $containers .name }}
{{- end }}
{{- end }}
{{- end }}

{{- define "opensend-smtp-relay.milliCpu" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text -}}{{ trimSuffix "m" $text | int64 }}{{ else }}{{ mulf (float64 $text) 1000 | int64 }}{{ end -}}
{{- end }}
