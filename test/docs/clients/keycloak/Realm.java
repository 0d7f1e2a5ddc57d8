import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.keycloak.email.DefaultEmailSenderProvider;
import org.keycloak.email.EmailAuthenticator;
import org.keycloak.email.PasswordAuthEmailAuthenticator;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.KeycloakSessionFactory;
import org.keycloak.truststore.TruststoreProviderFactory;
import org.keycloak.vault.VaultStringSecret;
import org.keycloak.vault.VaultTranscriber;

/** java Realm.java NAME=VALUE...: sends one message by Keycloak's own sender, with these settings of a realm's mail. */
public class Realm {
  public static void main(String[] args) throws Exception {
    var settings = new HashMap<String, String>();
    for (var arg : args) {
      var at = arg.indexOf('=');
      settings.put(arg.substring(0, at), arg.substring(at + 1));
    }
    // Passwords that are not in a vault are what they are.
    var vault = answering(VaultTranscriber.class, name -> name.equals("getStringSecret") ? new Plain(settings.get("password")) : null);
    // Nor is there a truststore of Keycloak's own, so that the JVM's counts.
    var truststore = answering(TruststoreProviderFactory.class, name -> null);
    var factory = answering(KeycloakSessionFactory.class, name -> name.equals("getProviderFactory") ? truststore : null);
    var session = answering(KeycloakSession.class, name -> switch (name) {
      case "vault" -> vault;
      case "getKeycloakSessionFactory" -> factory;
      default -> null;
    });
    var byPassword = Map.<EmailAuthenticator.AuthenticatorType, EmailAuthenticator>of(
        EmailAuthenticator.AuthenticatorType.BASIC, new PasswordAuthEmailAuthenticator());
    new DefaultEmailSenderProvider(session, byPassword)
        .send(settings, "recipient@example.com", "Hello from Keycloak", "Sent via SMTP relay", null);
  }

  private record Plain(String value) implements VaultStringSecret {
    public Optional<String> get() { return Optional.of(value); }
    public void close() {}
  }

  private interface Answers { Object to(String name); }

  private static <T> T answering(Class<T> type, Answers answers) {
    return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, arguments) -> answers.to(method.getName())));
  }
}
