{{/*
Values of names, certificates, Services, monitors and files that do not go together. Renders nothing.
*/}}
{{- define "opensend-smtp-relay.validateObjects" }}
{{- $values := .Values }}

{{- /* Names. */}}
{{- $name := include "opensend-smtp-relay.wholeName" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (lower $name)) }}
{{- fail (printf "%s cannot be the name of a Service, which begins with a letter and has letters, digits and - only: set fullnameOverride, or call the release another name." $name) }}
{{- end }}

{{- /* Certificates. */}}
{{- $certificate := $values.tls.certManager }}
{{- if eq (include "opensend-smtp-relay.tlsMode" .) "certManager" }}
{{- if ge (include "opensend-smtp-relay.seconds" $certificate.renewBefore | float64) (include "opensend-smtp-relay.seconds" $certificate.duration | float64) }}
{{- fail (printf "tls.certManager.renewBefore (%s) is not below duration (%s), so that each certificate would be renewed at once, for ever: a third of the duration is usual." $certificate.renewBefore $certificate.duration) }}
{{- end }}
{{- if lt (include "opensend-smtp-relay.seconds" $certificate.duration | float64) 3600.0 }}
{{- fail (printf "tls.certManager.duration is %s, and cert-manager takes an hour or more." $certificate.duration) }}
{{- end }}
{{- if lt (include "opensend-smtp-relay.seconds" $certificate.renewBefore | float64) 300.0 }}
{{- fail (printf "tls.certManager.renewBefore is %s, and cert-manager takes five minutes or more." $certificate.renewBefore) }}
{{- end }}
{{- $sizes := dict "ECDSA" (list 256 384 521) "RSA" (list 2048 3072 4096 8192) }}
{{- $algorithm := default "RSA" $certificate.privateKey.algorithm }}
{{- if and $certificate.privateKey.size (hasKey $sizes $algorithm) (not (has (int $certificate.privateKey.size) (get $sizes $algorithm))) }}
{{- fail (printf "tls.certManager.privateKey.size is %d, but a key of %s has one of %s: choose one of them, or leave it out." (int $certificate.privateKey.size) $algorithm (get $sizes $algorithm | join ", ")) }}
{{- end }}
{{- if $values.tls.existingSecret }}
{{- fail "tls.existingSecret is set, but tls.mode is certManager: set tls.mode to existingSecret, or leave tls.existingSecret out; tls.certManager.secretName says where cert-manager puts its own." }}
{{- end }}
{{- end }}

{{- /* Services. */}}
{{- $type := include "opensend-smtp-relay.serviceType" . }}
{{- $service := $values.service }}
{{- if ne $type "LoadBalancer" }}
{{- range $key := list "loadBalancerClass" "loadBalancerIP" "loadBalancerSourceRanges" "healthCheckNodePort" }}
{{- if get $service $key }}
{{- fail (printf "service.%s is for load balancers, but service.type is %s: set service.type to LoadBalancer, or leave it out." $key $type) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $service.clusterIP "None") (ne $type "ClusterIP") }}
{{- fail (printf "service.clusterIP is None, which is for service.type ClusterIP, and it is %s: leave it out." $type) }}
{{- end }}
{{- if and $service.sessionAffinityConfig (ne $service.sessionAffinity "ClientIP") }}
{{- fail "service.sessionAffinityConfig is for service.sessionAffinity ClientIP: set that, or leave it out." }}
{{- end }}
{{- if and (has $service.ipFamilyPolicy (list "" "SingleStack")) (gt (len $service.ipFamilies) 1) }}
{{- fail "service.ipFamilies has two, but service.ipFamilyPolicy allows one: set it to PreferDualStack or RequireDualStack." }}
{{- end }}
{{- if and $service.healthCheckNodePort (ne $service.externalTrafficPolicy "Local") }}
{{- fail "service.healthCheckNodePort is for service.externalTrafficPolicy Local: set that, or leave it out." }}
{{- end }}
{{- $nodePorts := dict }}
{{- range $name, $port := $service.ports }}
{{- if and $port.enabled $port.nodePort }}
{{- if eq $type "ClusterIP" }}
{{- fail (printf "service.ports.%s.nodePort is for service.type LoadBalancer or NodePort, and it is ClusterIP: leave it out." $name) }}
{{- end }}
{{- $number := $port.nodePort | int | toString }}
{{- if hasKey $nodePorts $number }}
{{- fail (printf "service.ports.%s and service.ports.%s have the same nodePort %s." (get $nodePorts $number) $name $number) }}
{{- end }}
{{- $_ := set $nodePorts $number $name }}
{{- end }}
{{- end }}
{{- if and (ne $service.preset "metallb") (or $service.metallb.addressPool $service.metallb.addresses $service.metallb.sharingKey) }}
{{- fail (printf "service.metallb is for service.preset metallb, and it is %s: set service.preset to metallb, or leave it out." $service.preset) }}
{{- end }}
{{- if and $service.proxyProtocol.networks (not $service.proxyProtocol.enabled) }}
{{- fail "service.proxyProtocol.networks is set, but service.proxyProtocol.enabled is false: set it to true, or leave the networks out." }}
{{- end }}

{{- /* Monitors and alerts. */}}
{{- range $kind := list "podMonitor" "serviceMonitor" }}
{{- $monitor := get $values.metrics $kind }}
{{- if and $monitor.enabled (gt (include "opensend-smtp-relay.seconds" $monitor.scrapeTimeout | float64) (include "opensend-smtp-relay.seconds" $monitor.interval | float64)) }}
{{- fail (printf "metrics.%s.scrapeTimeout (%s) is more than interval (%s), which Prometheus refuses with all else that it has: lower it." $kind $monitor.scrapeTimeout $monitor.interval) }}
{{- end }}
{{- end }}
{{- $alerts := list }}
{{- range (.Files.Get "files/monitoring/alerts.yaml" | fromYaml).groups }}{{ range .rules }}{{ $alerts = append $alerts .alert }}{{ end }}{{ end }}
{{- range concat $values.metrics.prometheusRule.disabled (keys $values.metrics.prometheusRule.overrides) }}
{{- if not (has . $alerts) }}
{{- fail (printf "metrics.prometheusRule: there is no alert %s; there are %s." . (join ", " $alerts)) }}
{{- end }}
{{- end }}

{{- /* Files of secrets. */}}
{{- $files := include "opensend-smtp-relay.secretVariables" . | fromYaml | values }}
{{- range $values.secretFiles }}
{{- if has .path $files }}
{{- fail (printf "secretFiles has %s, which is there already: choose another path." .path) }}
{{- end }}
{{- $path := .path }}
{{- range $files }}
{{- if or (hasPrefix (printf "%s/" .) $path) (hasPrefix (printf "%s/" $path) .) }}
{{- fail (printf "secretFiles has %s and %s, of which one would be a file and a folder at once: choose another path." . $path) }}
{{- end }}
{{- end }}
{{- $files = append $files .path }}
{{- end }}

{{- /* Keys of AWS. */}}
{{- $key := include "opensend-smtp-relay.secretRef" (dict "root" . "secret" "awsAccessKeyId") | fromJson }}
{{- $secret := include "opensend-smtp-relay.secretRef" (dict "root" . "secret" "awsSecretAccessKey") | fromJson }}
{{- if and $key.name (not $secret.name) }}
{{- fail "secrets.awsAccessKeyId is set without secrets.awsSecretAccessKey: set both, or neither where a role of the ServiceAccounts is used." }}
{{- else if and $secret.name (not $key.name) }}
{{- fail "secrets.awsSecretAccessKey is set without secrets.awsAccessKeyId: set both, or neither where a role of the ServiceAccounts is used." }}
{{- end }}

{{- /* The migration. */}}
{{- $limit := (($values.migrations.resources).limits).memory }}
{{- if and $limit (lt (include "opensend-smtp-relay.bytes" $limit | int64) 128000000) }}
{{- fail (printf "migrations.resources.limits.memory is %v, and a migration takes 128 MB: set it to 128Mi or more." $limit) }}
{{- end }}

{{- /* Network policies. */}}
{{- range $component := list "relay" "worker" }}
{{- $rules := get $values.networkPolicy $component }}
{{- range concat $rules.extraIngress $rules.extraEgress }}
{{- range .ports }}
{{- if and .endPort (or (not .port) (kindIs "string" .port) (lt (int .endPort) (int .port))) }}
{{- fail (printf "networkPolicy.%s: a rule ends with the port %d, before it begins with %v: set port to a number that is not above endPort." $component (int .endPort) .port) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
