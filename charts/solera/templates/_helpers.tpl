{{- define "solera.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "solera.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "solera.labels" -}}
{{ include "solera.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: solera
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "solera.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "solera.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name the service account that exists, or set serviceAccount.create to true" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "solera.image" -}}
{{- $repository := required "image.repository: write where the operator's image is, for example registry.example.com/solera/operator" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "solera.metricsPort" -}}{{ .Values.config.metricsPort | default 8080 }}{{- end -}}

{{- define "solera.healthPort" -}}{{ .Values.config.healthPort | default 8081 }}{{- end -}}

{{- /* "true" or nothing: whether the replicas agree on one that writes. */ -}}
{{- define "solera.leaderElection" -}}
{{- $enabled := (.Values.config.leaderElection | default dict).enabled -}}
{{- if ne (toString $enabled) "false" -}}true{{- else if gt (int .Values.replicas) 1 -}}
{{- fail (printf "replicas: %d would write at once; write 1, or config.leaderElection.enabled: true" (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}

{{- define "solera.leaseName" -}}{{ (.Values.config.leaderElection | default dict).name | default (include "solera.fullname" .) }}{{- end -}}

{{- define "solera.leaseNamespace" -}}{{ (.Values.config.leaderElection | default dict).namespace | default .Release.Namespace }}{{- end -}}

{{- /* The operator's configuration; the Lease is named after the release, so that two releases do not stand in each other's way. */ -}}
{{- define "solera.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "solera.leaderElection" . -}}
{{- $_ := set $config "leaderElection" (merge (dict "name" (include "solera.leaseName" .)) ($config.leaderElection | default dict)) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /*
What the operator may do. No Secrets (the kubelet resolves what pods refer to), nothing on roles, definitions, namespaces or nodes,
and it never writes an LLMDeployment itself, only its status.
*/ -}}
{{- define "solera.operatorRules" -}}
- apiGroups: [solera.dev]
  resources: [llmdeployments]
  verbs: [get, list, watch]
- apiGroups: [solera.dev]
  resources: [llmdeployments/status]
  verbs: [patch]
- apiGroups: [solera.dev]
  resources: [rolloutrecords]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# Claims outlive what reads them: the operator deletes none.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, create, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
